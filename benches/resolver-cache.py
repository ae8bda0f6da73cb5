#!/usr/bin/env python3
"""What a list costs the resolvers that ask it: upstream queries, cache entries, memory, for many addresses.

    cargo build --release
    benches/resolver-cache.py [--addresses 20000] [--lists one,real,large,exceptions] [--scenarios TEXT,...]
                              [--servers rbldnsd,nibbl,...] [--resolvers unbound,...] [--in-flight 8]
                              [--binary target/release/nibbl]

    client -> resolver -> counting proxy -> server

    rbldnsd       the list, unsigned
    nibbl         the same
    signed        nibbl, signed
    offline       the zone that nibbl exports, signed by dnssec-signzone, in NSD
    onlinesign    that zone in Knot with mod-onlinesign: NSEC records as narrow as can be

A resolver starts at a private root, which is signed, with its defaults but for the size of its caches; PowerDNS
is `pdns` with `dnssec=validate`, `pdns-default` as it comes. The addresses are asked once each, for A, without
EDNS, the first 16 one by one and then eight at a time: those that come before an answer cost as much as it did, or
not, as chance and the speed of the machine have it. With `--in-flight 1` chance has no part. Prints a table in
Markdown: `upstream` is what came to the proxy; `entries` and `MiB` by how much the resolver's cache and process grew
(entries compare only within one resolver); `synthesised` how often it says that it made up an answer; `wrong` verdicts other than the list's, `servfail` among them, and of these
`bogus` those that come without validation. Behind a signed zone the whole chain is checked first.

For `signed` a `*` stands at what must not be: anything wrong; no synthesis; more upstream queries than `offline`
in the same run and a tenth or 20 more; more than 100 for the /32s, or 500 for random unlisted addresses of the
list of 4,443 entries and for the exceptions. Then the exit code is 1.

Every row has a server and a resolver of its own in a network namespace of its own (root, or user namespaces).
"""
import argparse
import contextlib
import pathlib
import signal
import sys
import tempfile
import time
import typing

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests"))
from peers import lists, servers, stub
from peers.programs import enter_own_network, require
from peers.proxy import Proxy
from peers.resolvers import ADDRESS, RESOLVERS
from peers.workshop import SIGNED, Workshop


# Addresses that are asked one by one.
ALONE = 16


class Cost(typing.NamedTuple):
    upstream: int
    entries: int
    octets: int
    synthesised: int
    wrong: int
    servfail: int
    bogus: int
    seconds: float


def measure(workshop, kind, resolver_class, of_list, addresses, in_flight):
    """What looking the addresses up costs."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        workshop.start(stack, kind, of_list, directory)
        proxy = Proxy(servers.SERVER, servers.DELEGATED)
        stack.callback(proxy.stop)
        secure = workshop.root.start(stack, servers.SERVER, directory)
        if secure != (kind in SIGNED):
            sys.exit(f"{kind}: the zone has {'keys' if secure else 'no keys'}")
        resolver = resolver_class(stack, directory, workshop.root)
        if resolver.takes_for_secure() != secure:
            resolver.program.fail(f"takes the zone for {'insecure' if secure else 'secure'}")
        names = [(stub.reversed_name(address, lists.ZONE), stub.A) for address in addresses]
        upstream, kept, octets = proxy.counts()[1], resolver.kept(), resolver.program.resident()
        started = time.monotonic()
        replies = stub.ask(ADDRESS, names[:ALONE], 1) + stub.ask(ADDRESS, names[ALONE:], in_flight)
        seconds = time.monotonic() - started
        upstream, after = proxy.counts()[1] - upstream, resolver.kept()
        octets = resolver.program.resident() - octets
        wrong = sum(stub.is_listed(reply) is not of_list.lists(address)
                    for reply, address in zip(replies, addresses))
        failed = [name for name, reply in zip(names, replies) if stub.code(reply) == stub.SERVFAIL]
        unchecked = stub.ask(ADDRESS, failed, flags=stub.RD | stub.CD)
        bogus = sum(stub.is_listed(reply) is not None for reply in unchecked)
        return Cost(upstream, after.entries - kept.entries, octets, after.synthesised - kept.synthesised, wrong,
                    len(failed), bogus, seconds)


def most_upstream(name, scenario, offline):
    """How many upstream queries a signed zone may cost."""
    most = float("inf") if offline is None else max(offline.upstream * 1.1, offline.upstream + 20)
    if scenario.endswith("/32"):
        most = min(most, 100)
    if name == "exceptions" or (name == "real" and scenario == "unlisted, random"):
        most = min(most, 500)
    return most


def columns(cost, most, must_synthesise):
    """The cells of a row, and how many of them are not as they must be."""
    cells = [(f"{cost.upstream:,}", cost.upstream > most), (f"{cost.entries:,}", False),
             (f"{cost.octets / (1 << 20):.1f}", False),
             (f"{cost.synthesised:,}", must_synthesise and cost.synthesised == 0), (f"{cost.wrong:,}", cost.wrong > 0),
             (f"{cost.servfail:,}", cost.servfail > 0), (f"{cost.bogus:,}", cost.bogus > 0),
             (f"{cost.seconds:.0f}", False)]
    return " | ".join(text + "*" * missed for text, missed in cells), sum(missed for _, missed in cells)


def words(text):
    return text.split(",")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--addresses", type=int, default=20_000)
    arguments.add_argument("--in-flight", type=int, default=8)
    arguments.add_argument("--lists", default=list(lists.LISTS), type=words)
    arguments.add_argument("--scenarios", default=None, type=lambda text: text.split(";"),
                           help="as the table names them, with ; between; all, if nothing is said")
    arguments.add_argument("--servers", default="rbldnsd,nibbl,offline,signed,onlinesign", type=words)
    arguments.add_argument("--resolvers", default="unbound,bind,kresd,pdns", type=words)
    arguments.add_argument("--binary", default="target/release/nibbl")
    options = arguments.parse_args()
    classes = {name: RESOLVERS[name] for name in options.resolvers}
    require(options.binary, "unshare", "rbldnsd", "nsd", "knotd", "dig", "dnssec-keygen", "dnssec-signzone",
            *(program for resolver in classes.values() for program in resolver.programs))
    enter_own_network()
    # Whoever stops the program stops its children, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    started, missed = time.monotonic(), 0
    print(f"| list | {options.addresses:,} addresses | resolver | server | upstream | entries | MiB | synthesised "
          "| wrong | servfail | bogus | s |\n|---|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        workshop = Workshop(directory, options.binary)
        for name in options.lists:
            of_list = lists.LISTS[name]()
            for scenario, addresses in lists.scenarios(of_list, options.addresses).items():
                if options.scenarios and scenario not in options.scenarios:
                    continue
                for resolver, resolver_class in classes.items():
                    offline = None
                    for kind in options.servers:
                        cost = measure(workshop, kind, resolver_class, of_list, addresses, options.in_flight)
                        checked = kind == "signed" and resolver != "pdns-default"
                        most = most_upstream(name, scenario, offline) if checked else float("inf")
                        # Below a name that does not exist unbound denies all without counting it (RFC 8020).
                        text, wrong = columns(cost, most, checked and scenario != "unlisted /32")
                        if kind == "offline":
                            offline = cost
                        missed += wrong
                        print(f"| {of_list.title} | {scenario} | {resolver} | {kind} | {text} |", flush=True)
            workshop.forget(of_list)
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
