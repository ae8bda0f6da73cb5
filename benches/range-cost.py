#!/usr/bin/env python3
"""What looking up many addresses of one prefix costs: a real unbound stands between client and server, and
counting proxies before both.

    cargo build --release
    benches/range-cost.py [--addresses 20000] [--binary target/release/nibbl] [--ways rbldnsd,lookup,...]

    rbldnsd    client -> proxy -> unbound -> proxy -> rbldnsd       ordinary queries for A
    serve      client -> proxy -> unbound -> proxy -> nibbl serve   the same
    lookup     nibbl lookup -> proxy -> unbound -> proxy -> nibbl serve
    relay      client -> nibbl relay -> proxy -> unbound -> proxy -> nibbl serve
    stub-zone  client -> unbound -> nibbl relay -> proxy -> nibbl serve   the recipe of docs/relay.md

Prints a table in Markdown. `names` and `questions` are what the client asked of unbound (for stub-zone, the
relay of the server), repetitions of questions too; `upstream` what came to the server, with unbound's default
QNAME minimisation and without; `entries` by how much unbound's message and RRset caches grew; `wrong` counts
verdicts other than the list's, and missing answers. A `*` stands where range records cost more than they
should, or anything is wrong; then the exit code is 1.

Every run has servers and an unbound of its own, with empty caches large enough for everything, on loopback
and ports above 1024. Peers needed: unbound, unbound-control, rbldnsd. About four minutes for 20,000.
"""
import argparse
import contextlib
import ipaddress
import json
import multiprocessing
import os
import random
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import typing

ZONE = "bl.example"
HEAD = ("$SOA 1h ns1.example.net hostmaster.example.net 1 1h 15m 30d 1h\n$NS 1d ns1.example.net\n$TTL 1h\n"
        ":127.0.0.2:$ is listed\n")
# The entries that RFC 5782 asks of every list.
TEST_ENTRIES = ["::ffff:7f00:2/128", "!::ffff:7f00:1/128"]
LISTED = 0x20010db8
UNLISTED = 0x2a001450
IN_FLIGHT = 16
PATIENCE = 10.0
WAYS = ("rbldnsd", "serve", "lookup", "relay", "stub-zone")
# What range records may cost in upstream queries, and as much in entries: with QNAME minimisation, and without.
MOST_MINIMISED, MOST = 60, 10
# Programs that are not in everybody's PATH.
os.environ["PATH"] += ":/usr/sbin:/sbin"


class Zone:
    """A list of prefixes, none inside another."""

    def __init__(self, title, most_names, prefixes):
        self.title, self.most_names = title, most_names
        self.prefixes = prefixes
        self.text = HEAD + "".join(f"{ipaddress.IPv6Address(bits << 128 - length)}/{length}\n"
                                   for bits, length in prefixes) + "\n".join(TEST_ENTRIES) + "\n"
        self.entries = len(prefixes) + len(TEST_ENTRIES)
        self.lengths = {length for _, length in prefixes}
        self.members = set(prefixes)

    def lists(self, address):
        return any((address >> 128 - length, length) in self.members for length in self.lengths)


def zones():
    """A zone of one /32, and one of the size and the mixture of real lists."""
    draw = random.Random(1)

    def network():
        while True:
            top = draw.choice([0x2001, draw.randrange(0x2400, 0x2410), draw.randrange(0x2600, 0x2610),
                               draw.randrange(0x2a00, 0x2a10)])
            drawn = top << 16 | draw.getrandbits(16)
            if drawn not in taken and drawn not in (LISTED, UNLISTED):
                return drawn

    taken = set()
    for _ in range(40):
        taken.add(network())
    large = [(bits, 32) for bits in sorted(taken)]
    customers, sites = set(), set()
    networks = [network() for _ in range(200)]
    while len(customers) < 400:
        customers.add(draw.choice(networks) << 16 | draw.getrandbits(16))
    homes = [draw.choice(networks) << 16 | draw.getrandbits(16) for _ in range(1000)]
    homes = [home for home in homes if home not in customers]
    while len(sites) < 4000:
        sites.add(draw.choice(homes) << 16 | draw.getrandbits(16))
    one = [(LISTED, 32)]
    many = one + large + [(bits, 48) for bits in sorted(customers)] + [(bits, 64) for bits in sorted(sites)]
    return [Zone("one /32", 4, one), Zone("4,443 entries", 8, many)]


def scenarios(count):
    """Addresses, no two in one /64."""
    draw = random.Random(2)

    def of(network, count):
        subnets = draw.sample(range(1 << 32), count)
        return [network << 96 | subnet << 64 | draw.getrandbits(64) for subnet in subnets]

    half, quarter = count // 2, count // 4
    mixed = of(LISTED, half) + of(UNLISTED, count - half)
    anywhere = (of(LISTED, half) + of(UNLISTED, quarter)
                + [1 << 125 | draw.getrandbits(125) for _ in range(count - half - quarter)])
    draw.shuffle(mixed)
    draw.shuffle(anywhere)
    return [("listed /32", of(LISTED, count)), ("unlisted /32", of(UNLISTED, count)), ("both", mixed),
            ("both and anywhere", anywhere)]


class Proxy:
    """Passes UDP queries on to a server, in a process of its own, and counts them."""

    def __init__(self, server):
        front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for end in (front, back):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            end.setblocking(False)
        front.bind(("127.0.0.1", 0))
        back.connect(server)
        self.address = front.getsockname()
        self.questions = multiprocessing.Value("Q", 0, lock=False)
        self.names = multiprocessing.Value("Q", 0, lock=False)
        self.process = multiprocessing.Process(target=self.run, args=(front, back), daemon=True)
        self.process.start()
        front.close()
        back.close()

    def run(self, front, back):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
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
                            self.questions.value += 1
                            names.add(question_name(packet).lower())
                            self.names.value = len(names)
                            back.send(struct.pack("!H", next_id) + packet[2:])
                        else:
                            asker, original = askers.pop(struct.unpack("!H", packet[:2])[0], (None, b""))
                            if asker:
                                front.sendto(original + packet[2:], asker)

    def counts(self):
        return self.names.value, self.questions.value

    def stop(self):
        self.process.terminate()
        self.process.join()


def question_name(packet):
    end = 12
    while packet[end]:
        end += 1 + packet[end]
    return packet[12:end]


class Program:
    """A child, its output read to the end, that is ready once a line matches."""

    def __init__(self, command, ready):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True,
                                        env={**os.environ, "NIBBL_LOG": "plain"})
        self.lines, self.match = [], None
        found = threading.Event()

        def read():
            for line in self.process.stdout:
                self.lines.append(line)
                if self.match is None and (match := re.search(ready, line)):
                    self.match = match
                    found.set()
            found.set()

        threading.Thread(target=read, daemon=True).start()
        found.wait(30)
        if self.match is None:
            self.stop()
            sys.exit(f"{command[0]} did not start:\n{''.join(self.lines)}")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        udp.bind(("127.0.0.1", 0))
        tcp.bind(udp.getsockname())
        return udp.getsockname()


class Run:
    """The programs of one row."""

    def __init__(self, stack, binary, directory):
        self.stack, self.binary, self.directory = stack, binary, directory

    def start(self, command, ready):
        program = Program([str(word) for word in command], ready)
        self.stack.callback(program.stop)
        return program

    def nibbl(self, *arguments):
        program = self.start([self.binary, *arguments], r"listening on udp 127\.0\.0\.1:(\d+)")
        deadline = time.monotonic() + 30
        while not any("nibbl: ready" in line for line in program.lines) and time.monotonic() < deadline:
            time.sleep(0.01)
        return "127.0.0.1", int(program.match[1])

    def serve(self):
        return self.nibbl("serve", "--listen", "127.0.0.1:0", "--control", f"{self.directory}/control",
                          "--ranges", "--dir", self.directory, f"{ZONE}:ip6trie:list")

    def rbldnsd(self):
        host, port = free_port()
        self.start(["rbldnsd", "-n", "-q", "-c", "0", "-b", f"{host}/{port}", "-w", self.directory,
                    f"{ZONE}:ip6trie:list"], "zones reloaded")
        return host, port

    def relay(self, *upstream):
        return self.nibbl("relay", "--listen", "127.0.0.1:0", *upstream)

    def proxy(self, server):
        proxy = Proxy(server)
        self.stack.callback(proxy.stop)
        return proxy

    def unbound(self, server, minimise, stub_options=""):
        host, port = free_port()
        path = f"{self.directory}/unbound.conf"
        with open(path, "w", encoding="ascii") as file:
            file.write(f"""server:
 directory: "{self.directory}"
 chroot: ""
 username: ""
 pidfile: ""
 use-syslog: no
 do-daemonize: no
 interface: {host}
 port: {port}
 do-ip6: no
 do-not-query-localhost: no
 qname-minimisation: {"yes" if minimise else "no"}
 extended-statistics: yes
 msg-cache-size: 256m
 rrset-cache-size: 256m
stub-zone:
 name: {ZONE}
 stub-addr: {server[0]}@{server[1]}
{stub_options}
remote-control:
 control-enable: yes
 control-use-cert: no
 control-interface: "{self.directory}/unbound.control"
""")
        self.start(["unbound", "-d", "-c", path], "start of service")
        # What unbound keeps of the zone itself is not counted.
        ask((host, port), [(ZONE, 6)])
        return host, port

    def entries(self):
        said = subprocess.run(["unbound-control", "-c", f"{self.directory}/unbound.conf", "stats_noreset"],
                              check=True, capture_output=True, text=True).stdout
        counts = dict(line.split("=", 1) for line in said.splitlines())
        return int(counts["msg.cache.count"]) + int(counts["rrset.cache.count"])

    def lookup(self, server, addresses):
        """The verdicts; text that is not the list's makes a verdict wrong."""
        texts = [str(ipaddress.IPv6Address(address)) for address in addresses]
        done = subprocess.run([self.binary, "lookup", "--zone", ZONE, "--server", "%s:%s" % server, "--json"],
                              input="\n".join(texts) + "\n", capture_output=True, text=True, timeout=120,
                              check=False)
        said = (json.loads(line) for line in done.stdout.splitlines())
        verdicts = {one["subject"]: one["listed"] if not one["listed"] or one["texts"] ==
                    [f"{one['subject']} is listed"] else None for one in said}
        return [verdicts.get(text) for text in texts]


def reversed_name(address):
    return ".".join(reversed(f"{address:032x}")) + "." + ZONE


def query(identity, name, record_type):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", identity, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, record_type, 1)


def ask(server, questions):
    """Asks IN_FLIGHT questions at a time, each once; the replies, None where none came."""
    replies = [None] * len(questions)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect(server)
        udp.settimeout(PATIENCE)
        open_questions, upcoming = {}, iter(enumerate(questions))
        while True:
            while len(open_questions) < IN_FLIGHT and (one := next(upcoming, None)):
                number, (name, record_type) = one
                udp.send(query(number % 65536, name, record_type))
                open_questions[number % 65536] = number
            if not open_questions:
                return replies
            try:
                packet = udp.recv(65535)
            except TimeoutError:
                open_questions.clear()
                continue
            number = open_questions.pop(struct.unpack("!H", packet[:2])[0], None)
            if number is not None:
                replies[number] = packet


def ask_ordinarily(server, addresses):
    """The verdicts of ordinary queries: NXDOMAIN is unlisted, one A record listed."""
    replies = ask(server, [(reversed_name(address), 1) for address in addresses])

    def verdict(reply):
        if reply is None:
            return None
        code, answers = reply[3] & 15, struct.unpack("!H", reply[6:8])[0]
        if code == 3 and answers == 0:
            return False
        return True if code == 0 and answers == 1 and b"\x7f\0\0\2" in reply[12:] else None

    return [verdict(reply) for reply in replies]


class Cost(typing.NamedTuple):
    names: int
    questions: int
    upstream: int
    entries: int
    wrong: int


def measure(way, zone, addresses, minimise, binary):
    """What looking up the addresses costs through one unbound, minimising names or not."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        # rbldnsd gives up root before it reads.
        os.chmod(directory, 0o755)
        with open(f"{directory}/list", "w", encoding="ascii") as file:
            file.write(zone.text)
        run = Run(stack, binary, directory)
        behind = run.proxy(run.rbldnsd() if way == "rbldnsd" else run.serve())
        if way == "stub-zone":
            relay = run.relay("--zone", f"{ZONE}={behind.address[0]}:{behind.address[1]}")
            resolver = run.unbound(relay, minimise, " stub-no-cache: yes")
            before = behind
        else:
            resolver = run.unbound(behind.address, minimise)
            before = run.proxy(resolver)
        first_names, first_questions = before.counts()
        first_upstream, first_entries = behind.counts()[1], run.entries()
        if way == "lookup":
            verdicts = run.lookup(before.address, addresses)
        elif way == "relay":
            relay = run.relay("--zone", ZONE, "--resolver", f"{before.address[0]}:{before.address[1]}")
            verdicts = ask_ordinarily(relay, addresses)
        else:
            verdicts = ask_ordinarily(resolver if way == "stub-zone" else before.address, addresses)
        wrong = sum(verdict is not zone.lists(address) for verdict, address in zip(verdicts, addresses))
        names, questions = before.counts()
        return Cost(names - first_names, questions - first_questions, behind.counts()[1] - first_upstream,
                    run.entries() - first_entries, wrong)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--addresses", type=int, default=20_000)
    arguments.add_argument("--binary", default="target/release/nibbl")
    arguments.add_argument("--ways", default=",".join(WAYS), type=lambda text: text.split(","))
    options = arguments.parse_args()
    if not set(options.ways) <= set(WAYS):
        arguments.error(f"the ways are {', '.join(WAYS)}")
    missing = [program for program in ("unbound", "unbound-control", "rbldnsd", options.binary)
               if not shutil.which(program)]
    if missing:
        sys.exit(f"not there: {', '.join(missing)}")
    # Whoever stops the program stops its children, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    started, missed = time.monotonic(), 0
    print(f"| zone | {options.addresses:,} addresses | by | names | questions | upstream | without qmin | entries "
          "| without qmin | wrong |\n|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for zone in zones():
        for title, addresses in scenarios(options.addresses):
            for way in options.ways:
                on, off = (measure(way, zone, addresses, minimise, options.binary) for minimise in (True, False))
                most_names = most_on = most_off = float("inf")
                # Addresses anywhere come to blocks anywhere: no promise is made for them.
                if way not in ("rbldnsd", "serve") and title != "both and anywhere":
                    most_names, most_on, most_off = zone.most_names, MOST_MINIMISED, MOST
                cells = [(max(on.names, off.names), most_names), (max(on.questions, off.questions), float("inf")),
                         (on.upstream, most_on), (off.upstream, most_off),
                         (on.entries, most_on), (off.entries, most_off), (on.wrong + off.wrong, 0)]
                missed += sum(number > most for number, most in cells)
                shown = " | ".join(f"{number:,}{'*' if number > most else ''}" for number, most in cells)
                print(f"| {zone.title} | {title} | {way} | {shown} |", flush=True)
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
