"""Counts what passes between a resolver and a server."""
import contextlib
import multiprocessing
import select
import signal
import socket
import struct
import threading


class Proxy:
    """Passes queries on to a server, over UDP and TCP, in a process of its own, and counts them."""

    def __init__(self, server, address=("127.0.0.1", 0)):
        front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for end in (front, back):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            end.setblocking(False)
        front.bind(address)
        back.connect(server)
        self.address, self.server = front.getsockname(), server
        streams = socket.create_server(self.address)
        self.questions = multiprocessing.Value("Q", 0)
        self.names = multiprocessing.Value("Q", 0, lock=False)
        self.process = multiprocessing.Process(target=self.run, args=(front, back, streams), daemon=True)
        self.process.start()
        for end in (front, back, streams):
            end.close()

    def run(self, front, back, streams):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=self.accept, args=(streams,), daemon=True).start()
        askers, names, next_id = {}, set(), 0
        while True:
            ready, _, _ = select.select([front, back], [], [])
            for end in ready:
                with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
                    while True:
                        packet, sender = end.recvfrom(65535)
                        if end is front:
                            next_id = (next_id + 1) % 65536
                            askers[next_id] = (sender, packet[:2])
                            self.count()
                            names.add(question_name(packet).lower())
                            self.names.value = len(names)
                            back.send(struct.pack("!H", next_id) + packet[2:])
                        else:
                            asker, original = askers.pop(struct.unpack("!H", packet[:2])[0], (None, b""))
                            if asker:
                                front.sendto(original + packet[2:], asker)

    def accept(self, streams):
        while True:
            front, _ = streams.accept()
            threading.Thread(target=self.pass_stream, args=(front,), daemon=True).start()

    def pass_stream(self, front):
        """Questions of one TCP connection, one after the other."""
        with front, contextlib.suppress(OSError), socket.create_connection(self.server) as back:
            while message := read_message(front):
                self.count()
                back.sendall(message)
                front.sendall(read_message(back))

    def count(self):
        with self.questions.get_lock():
            self.questions.value += 1

    def counts(self):
        """How many names were asked for, and how often anything was asked."""
        return self.names.value, self.questions.value

    def stop(self):
        self.process.terminate()
        self.process.join()


def read_message(stream):
    """A message with its length before it, or nothing at the end."""
    octets = b""
    while len(octets) < 2 or len(octets) < 2 + struct.unpack("!H", octets[:2])[0]:
        missing = 2 - len(octets) if len(octets) < 2 else 2 + struct.unpack("!H", octets[:2])[0] - len(octets)
        if not (more := stream.recv(missing)):
            return b""
        octets += more
    return octets


def question_name(packet):
    end = 12
    while packet[end]:
        end += 1 + packet[end]
    return packet[12:end]
