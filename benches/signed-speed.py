#!/usr/bin/env python3
"""What signatures cost a server: CPU time and rate of signed answers, beside unsigned ones and NSD.

    cargo build --release
    benches/signed-speed.py [--list large] [--rounds 5] [--seconds 2] [--names 20000] [--binary target/release/nibbl]

    nibbl    the list, unsigned, asked without DO
    signed   nibbl, signed, asked with DO; all signatures are in its cache, which a first run has filled
    offline  the zone that nibbl exports, signed by dnssec-signzone, in NSD; asked with DO

One thread each. dnsperf asks for A at as many names as said, of listed addresses (positive) or random unlisted ones
(negative), as fast as answers come. The servers take turns; figures are medians of rounds. CPU time is that of the
server's processes, system calls and all, divided by the answers. `of unsigned` and `of NSD` are ratios of rates of
CPU time: 0.5 means that twice the time is needed. For `cold`, nibbl starts anew for each round and the names are
asked once each, so that nearly every answer needs new signatures; below is how many it made, and how many in a second
of its CPU time, with all else that it does for the answers.

Needs dnsperf; everything runs in a network namespace of its own.
"""
import argparse
import contextlib
import os
import pathlib
import random
import re
import signal
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests"))
from peers import lists, servers, stub
from peers.programs import enter_own_network, require
from peers.workshop import Workshop

KINDS = ("nibbl", "signed", "offline")
ADDRESSES = {kind: (f"127.0.1.{number}", 5300) for number, kind in enumerate(KINDS, 4)}


def questions(of_list, names):
    """By sign: names of listed addresses, each in another listing as far as there are any, and of unlisted ones."""
    draw = random.Random(3)
    prefixes = list(of_list.prefixes)
    draw.shuffle(prefixes)
    listed, unlisted = [], []
    while len(listed) < names:
        bits, length = prefixes[len(listed) % len(prefixes)]
        listed.append(bits << 128 - length | draw.getrandbits(128 - length))
    while len(unlisted) < names:
        address = 1 << 125 | draw.getrandbits(125)
        if not of_list.lists(address):
            unlisted.append(address)
    return {"positive": listed, "negative": unlisted}


def cpu_seconds(process):
    """CPU time of a process and its children."""
    total = 0
    with contextlib.suppress(FileNotFoundError):
        with open(f"/proc/{process}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        total = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        with open(f"/proc/{process}/task/{process}/children", encoding="ascii") as children:
            total += sum(cpu_seconds(int(child)) for child in children.read().split())
    return total


def load(program, address, file, limit, signed):
    """Asks by dnsperf; nanoseconds of CPU an answer, answers a second, answers."""
    before = cpu_seconds(program.process.pid)
    said = servers.run("dnsperf", "-s", address[0], "-p", address[1], "-d", file, "-q", "500", "-c", "4", "-T", "1",
                       *limit, *(["-D"] if signed else []))
    spent = cpu_seconds(program.process.pid) - before
    answered = int(re.search(r"Queries completed:\s+(\d+)", said)[1])
    rate = float(re.search(r"Queries per second:\s+([\d.]+)", said)[1])
    return spent / answered * 1e9, rate, answered


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--list", default="large", choices=list(lists.LISTS))
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=int, default=2)
    arguments.add_argument("--names", type=int, default=20_000)
    arguments.add_argument("--binary", default="target/release/nibbl")
    options = arguments.parse_args()
    require(options.binary, "unshare", "nsd", "dnsperf", "dnssec-keygen", "dnssec-signzone")
    enter_own_network()
    # Whoever stops the program stops its children, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    of_list = lists.LISTS[options.list]()
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        workshop = Workshop(directory, options.binary)
        files = {}
        for sign, addresses in questions(of_list, options.names).items():
            files[sign] = f"{directory}/{sign}"
            with open(files[sign], "w", encoding="ascii") as file:
                file.writelines(f"{stub.reversed_name(address, lists.ZONE)} A\n" for address in addresses)
        own = {kind: stack.enter_context(tempfile.TemporaryDirectory()) for kind in KINDS}
        programs = {kind: workshop.start(stack, kind, of_list, own[kind], ADDRESSES[kind]) for kind in KINDS}
        print("| answers | server | ns of CPU an answer | answers a second | of unsigned | of NSD |\n"
              "|---|---|---|---|---|---|", flush=True)
        for sign, file in files.items():
            measured = {kind: [] for kind in KINDS}
            for kind, program in programs.items():
                load(program, ADDRESSES[kind], file, ["-n", "2"], kind != "nibbl")
            for _ in range(options.rounds):
                for kind, program in programs.items():
                    measured[kind].append(load(program, ADDRESSES[kind], file, ["-l", options.seconds],
                                               kind != "nibbl"))
            cost = {kind: statistics.median(one[0] for one in rounds) for kind, rounds in measured.items()}
            rate = {kind: statistics.median(one[1] for one in rounds) for kind, rounds in measured.items()}
            for kind in KINDS:
                print(f"| {sign} | {kind} | {cost[kind]:,.0f} | {rate[kind]:,.0f} | {cost['nibbl'] / cost[kind]:.2f} "
                      f"| {cost['offline'] / cost[kind]:.2f} |", flush=True)
        cold = {sign: [] for sign in files}
        for _ in range(options.rounds):
            for sign, file in files.items():
                with contextlib.ExitStack() as fresh, tempfile.TemporaryDirectory() as own_directory:
                    address = ("127.0.1.8", 5300)
                    program = workshop.start(fresh, "signed", of_list, own_directory, address)
                    before = servers.signatures_made(address)
                    cost, rate, answers = load(program, address, file, ["-n", "1"], True)
                    cold[sign].append((cost, rate, answers, servers.signatures_made(address) - before))
        for sign, rounds in cold.items():
            cost, rate = (statistics.median(one[index] for one in rounds) for index in (0, 1))
            print(f"| {sign}, cold | signed | {cost:,.0f} | {rate:,.0f} | | |", flush=True)
        for sign, rounds in cold.items():
            made = statistics.median(made for *_, made in rounds)
            rate = statistics.median(made / (cost * answers / 1e9) for cost, _, answers, made in rounds)
            print(f"\n{sign}, cold: {made:,.0f} signatures, {rate:,.0f} in a second of CPU time", flush=True)


if __name__ == "__main__":
    main()
