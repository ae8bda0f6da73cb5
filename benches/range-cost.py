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
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
import typing

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests"))
from peers import lists
from peers.lists import LISTED, UNLISTED, ZONE
from peers.programs import Program, free_port, require
from peers.proxy import Proxy
from peers.stub import A, SOA, ask, is_listed, reversed_name

IN_FLIGHT = 16
WAYS = ("rbldnsd", "serve", "lookup", "relay", "stub-zone")
# What range records may cost in upstream queries, and as much in entries: with QNAME minimisation, and without.
MOST_MINIMISED, MOST = 60, 10
# The lists, and how many names each may cost.
LISTS = ((lists.one, 4), (lists.real_size, 8))


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


class Run:
    """The programs of one row."""

    def __init__(self, stack, binary, directory):
        self.stack, self.binary, self.directory = stack, binary, directory

    def start(self, command, ready):
        program = Program(command, ready)
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
        ask((host, port), [(ZONE, SOA)])
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


def ask_ordinarily(server, addresses):
    """The verdicts of ordinary queries."""
    names = [(reversed_name(address, ZONE), A) for address in addresses]
    return [is_listed(reply) for reply in ask(server, names, IN_FLIGHT)]


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
    require("unbound", "unbound-control", "rbldnsd", options.binary)
    # Whoever stops the program stops its children, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    started, missed = time.monotonic(), 0
    print(f"| zone | {options.addresses:,} addresses | by | names | questions | upstream | without qmin | entries "
          "| without qmin | wrong |\n|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for make, most_zone_names in LISTS:
        zone = make()
        for title, addresses in scenarios(options.addresses):
            for way in options.ways:
                on, off = (measure(way, zone, addresses, minimise, options.binary) for minimise in (True, False))
                most_names = most_on = most_off = float("inf")
                # Addresses anywhere come to blocks anywhere: no promise is made for them.
                if way not in ("rbldnsd", "serve") and title != "both and anywhere":
                    most_names, most_on, most_off = most_zone_names, MOST_MINIMISED, MOST
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
