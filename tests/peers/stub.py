"""A stub resolver as in mail software: plain queries, many in flight, and what the answers say of an address."""
import ipaddress
import socket
import struct
import time

A, SOA, DNSKEY = 1, 6, 48
NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3
RD, AD, CD = 0x0100, 0x0020, 0x0010
PATIENCE = 10.0


def reversed_name(address, zone):
    """The name under which a list keeps an address (RFC 5782), given as a number or as text."""
    return ipaddress.ip_address(address).reverse_pointer.rsplit(".", 2)[0] + "." + zone


def query(identity, name, record_type, flags=RD):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label)
    return struct.pack("!6H", identity, flags, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, record_type, 1)


def ask(server, questions, in_flight=8, flags=RD, patience=PATIENCE):
    """Asks so many of the (name, type) at a time, each once; the replies, None where none came."""
    replies = [None] * len(questions)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect(server)
        udp.settimeout(patience)
        waiting, upcoming = {}, iter(enumerate(questions))
        while True:
            while len(waiting) < in_flight and (one := next(upcoming, None)):
                number, (name, record_type) = one
                udp.send(query(number % 65536, name, record_type, flags))
                waiting[number % 65536] = number
            if not waiting:
                return replies
            try:
                packet = udp.recv(65535)
            except TimeoutError:
                waiting.clear()
                continue
            number = waiting.pop(struct.unpack("!H", packet[:2])[0], None)
            if number is not None:
                replies[number] = packet


def code(reply):
    return None if reply is None else reply[3] & 15


def is_authentic(reply):
    return reply is not None and reply[3] & AD != 0


def is_listed(reply):
    """True, False, or None where the reply tells neither."""
    if reply is None:
        return None
    answers = struct.unpack("!H", reply[6:8])[0]
    if code(reply) in (NOERROR, NXDOMAIN) and answers == 0:
        return False
    return True if code(reply) == NOERROR and answers == 1 and b"\x7f\0\0\2" in reply[12:] else None


def until_answered(program, server, name, record_type=SOA, flags=RD, seconds=30):
    """Asks until there is a good answer; ends the script if none comes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and program.process.poll() is None:
        try:
            reply, = ask(server, [(name, record_type)], flags=flags, patience=0.5)
        except ConnectionRefusedError:
            reply = None
        if code(reply) == NOERROR:
            return reply
        time.sleep(0.05)
    return program.fail(f"does not answer for {name}")
