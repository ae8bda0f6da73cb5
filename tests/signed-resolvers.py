#!/usr/bin/env python3
"""A signed zone behind real validating resolvers: exceptions, data that changes, keys that roll over.

    cargo build --release
    tests/signed-resolvers.py [exceptions|reload|rollover]… [--addresses 10000] [--lists 3] [--server signed|offline]
                              [--resolvers unbound,bind,kresd,pdns] [--binary target/release/nibbl] [--seed N]

exceptions   Random listings and exceptions of any length, many inside one another. Twice as many addresses near
             their borders are asked, each once: the cache is warm for the second half, and all verdicts are right.
reload       Answers of a list fill a resolver's cache; listings come and go inside cached ranges; the time moves
             on in steps. Meanwhile each verdict is the old one or the new one, and when the larger of the two TTLs
             (of the records, and of NSEC) is over, it is the new one.
rollover     A key that signs the zone is replaced (pre-publish, RFC 6781, section 4.1.1.1), then the key that the
             zone above knows (double-DS, section 4.1.2), by `nibbl key rollover` and a parent that does what the
             CDS records say (RFC 7344). The time moves on by half an hour a step for weeks. At each step names
             that unbound knows and names that it never saw are right, and secure. In the end the parent is given
             a wrong DS record: then nothing is secure, which shows that the test would have noticed.

`offline` is the exported zone, signed by dnssec-signzone, in NSD; it stands for a server that is right. Programs
run in a network namespace of their own (root, or user namespaces); the last two move the time by libfaketime.
"""
import argparse
import contextlib
import pathlib
import random
import shutil
import signal
import sys
import tempfile

from peers import lists, servers, stub
from peers.clock import Clock
from peers.programs import enter_own_network, require
from peers.resolvers import ADDRESS, RESOLVERS
from peers.workshop import Workshop

HALF_HOUR, DAY = 1800, 86400
# The TTLs of the list whose data changes: of its records, and of NSEC (RFC 9077).
TTL, NEGATIVE_TTL = 300, 900


def fail(text):
    sys.exit(f"FAILED: {text}")


def ask(addresses, flags=stub.RD):
    return stub.ask(ADDRESS, [(stub.reversed_name(address, lists.ZONE), stub.A) for address in addresses], flags=flags)


def shown(address):
    return stub.reversed_name(address, "")


@contextlib.contextmanager
def behind(resolver_class, workshop, kind, of_list):
    """A resolver that knows how to come to the list; the root, the server, and their directory."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        server = workshop.start(stack, kind, of_list, directory, servers.DELEGATED)
        workshop.root.start(stack, servers.DELEGATED, directory)
        resolver = resolver_class(stack, directory, workshop.root)
        if not resolver.takes_for_secure():
            resolver.program.fail("takes the zone for insecure")
        yield resolver, server, directory


def exceptions(options, workshop):
    for number in range(options.lists):
        of_list = lists.nested(options.seed + number)
        addresses = next(iter(lists.scenarios(of_list, 2 * options.addresses).values()))
        listed = sum(map(of_list.lists, addresses))
        for name, resolver_class in options.resolvers.items():
            with behind(resolver_class, workshop, options.server, of_list) as (resolver, _, _):
                before = resolver.kept().synthesised
                replies = ask(addresses)
                wrong = [address for address, reply in zip(addresses, replies)
                         if stub.is_listed(reply) is not of_list.lists(address)]
                synthesised = resolver.kept().synthesised - before
            print(f"exceptions: {of_list.title}, {name}: {len(addresses):,} addresses, {listed:,} listed, "
                  f"{synthesised:,} times synthesised, {len(wrong):,} wrong", flush=True)
            if wrong:
                fail(f"{shown(wrong[0])}\n{of_list.text}")
            if not synthesised:
                fail("the cache was not used")
        workshop.forget(of_list)


def changed(of_list, draw):
    """The list with other exceptions and listings inside its ranges, and outside of them."""
    prefixes = dict(of_list.prefixes)
    for prefix in draw.sample(list(prefixes), len(prefixes) // 4):
        if draw.random() < 0.5:
            del prefixes[prefix]
        else:
            prefixes[prefix] = not prefixes[prefix]
    bits, length = lists.LISTED, 32
    prefixes[bits, length] = True
    for longer in (36, 47, 64, 128):
        prefixes[bits << longer - length | draw.getrandbits(longer - length), longer] = False
    return lists.List(of_list.title, prefixes)


def with_ttls(text):
    return text.replace("1h 15m 30d 1h", f"1h 15m 30d {NEGATIVE_TTL}").replace("$TTL 1h", f"$TTL {TTL}")


def reload(options, workshop):
    draw = random.Random(options.seed)
    old = lists.nested(options.seed)
    new = changed(old, draw)
    old.text, new.text = with_ttls(old.text), with_ttls(new.text)
    both = list(dict.fromkeys(lists.near_borders(old, options.addresses // 2, draw)
                              + lists.near_borders(new, options.addresses // 2, draw)))
    other = [address for address in both if old.lists(address) != new.lists(address)]
    for name, resolver_class in options.resolvers.items():
        with Clock(workshop.directory) as clock, behind(resolver_class, workshop, options.server, old) as (_, _, directory):
            for address, reply in zip(both, ask(both)):
                if stub.is_listed(reply) is not old.lists(address):
                    fail(f"{name}: {shown(address)} before the change")
            path = f"{workshop.of(old)}/list"
            with open(path, "w", encoding="ascii") as file:
                file.write(new.text)
            print(servers.run(options.binary, "reload", "--force", "--control", f"{directory}/control").strip())
            stale = []
            for _ in range(0, max(TTL, NEGATIVE_TTL), 100):
                stale.append(0)
                for address, reply in zip(both, ask(both)):
                    verdict = stub.is_listed(reply)
                    if verdict not in (old.lists(address), new.lists(address)) or verdict is None:
                        fail(f"{name}: {shown(address)} is {verdict}")
                    stale[-1] += verdict is not new.lists(address)
                clock.move(100)
            for address, reply in zip(both, ask(both)):
                if stub.is_listed(reply) is not new.lists(address):
                    fail(f"{name}: {shown(address)} after the change")
        workshop.forget(old)
        print(f"reload: {name}: {len(other):,} of {len(both):,} verdicts change; stale after each 100 s of "
              f"{max(TTL, NEGATIVE_TTL)}: {' '.join(map(str, stale))} 0", flush=True)


def all_is_well(resolver, draw, known, step):
    """Asks names that the resolver has seen before and names that it has not."""
    new = [lists.LISTED << 96 | draw.getrandbits(96), lists.UNLISTED << 96 | draw.getrandbits(96),
           1 << 127 | draw.getrandbits(127)]
    of_list = lists.one()
    names = [(stub.reversed_name(address, lists.ZONE), stub.A) for address in known + new]
    apex = [(lists.ZONE, record_type) for record_type in (stub.SOA, stub.DNSKEY)]
    replies = stub.ask(ADDRESS, names + apex, flags=stub.RD | stub.AD)
    right = [stub.is_listed(reply) is of_list.lists(address) for address, reply in zip(known + new, replies)]
    right += [stub.code(reply) == stub.NOERROR for reply in replies[len(right):]]
    for (name, _), reply, is_right in zip(names + apex, replies, right):
        if not (is_right and stub.is_authentic(reply)):
            said = "".join(resolver.program.lines[-20:])
            return f"{step}: {name}: rcode {stub.code(reply)}, secure {stub.is_authentic(reply)}\n{said}"
    return None


def rollover(options, workshop):
    draw = random.Random(options.seed)
    of_list = lists.one()
    known = [lists.LISTED << 96 | draw.getrandbits(96) for _ in range(5)]
    known += [1 << 127 | draw.getrandbits(127) for _ in range(5)]
    shutil.rmtree(workshop.keys)
    with Clock(workshop.directory) as clock:
        for role in ("ksk", "zsk"):
            servers.run(options.binary, "key", "generate", "--keys", workshop.keys, "--role", role, lists.ZONE)
        with behind(RESOLVERS["unbound"], workshop, "signed", of_list) as (resolver, _, directory):
            delegated = servers.records(servers.ROOT, "DS")

            def step(what):
                nonlocal delegated
                asked_for = servers.records(servers.DELEGATED, "CDS")
                if asked_for and asked_for != delegated:
                    print(f"rollover: after {clock.ahead / DAY:.1f} days: the parent has {len(asked_for)} DS", flush=True)
                    delegated = asked_for
                    workshop.root.delegate(delegated)
                if wrong := all_is_well(resolver, draw, known, what):
                    fail(f"after {clock.ahead / DAY:.1f} days: {wrong}")
                clock.move(HALF_HOUR)

            for role in ("zsk", "ksk"):
                before = servers.records(servers.DELEGATED, "DNSKEY")
                step(role)
                servers.run(options.binary, "key", "rollover", "--keys", workshop.keys, "--role", role, lists.ZONE)
                print(servers.run(options.binary, "reload", "--control", f"{directory}/control").strip())
                steps, begin, shown = 0, clock.ahead, before
                while len(shown) != len(before) or shown == before:
                    step(role)
                    steps += 1
                    if clock.ahead - begin > 90 * DAY:
                        fail(f"{role}: the old key is still there")
                    if (now := servers.records(servers.DELEGATED, "DNSKEY")) != shown:
                        print(f"rollover: after {clock.ahead / DAY:.1f} days: {len(now)} keys", flush=True)
                        shown = now
                for _ in range(2 * DAY // HALF_HOUR):
                    step(role)
                print(f"rollover: {role}: {steps} steps, no answer bogus, wrong or insecure", flush=True)
            workshop.root.delegate([delegated[0].replace(delegated[0].split()[0], "1", 1)])
            for _ in range(DAY // HALF_HOUR):
                clock.move(HALF_HOUR)
            if not all_is_well(resolver, draw, known, "control"):
                fail("a wrong DS record went unnoticed")


PARTS = {"exceptions": exceptions, "reload": reload, "rollover": rollover}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("parts", nargs="*", default=list(PARTS))
    arguments.add_argument("--addresses", type=int, default=10_000)
    arguments.add_argument("--lists", type=int, default=3)
    arguments.add_argument("--server", default="signed", choices=["signed", "offline"])
    arguments.add_argument("--resolvers", default="unbound,bind,kresd,pdns")
    arguments.add_argument("--binary", default="target/release/nibbl")
    arguments.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    options = arguments.parse_args()
    if not set(options.parts) <= set(PARTS):
        arguments.error(f"the parts are {', '.join(PARTS)}")
    options.resolvers = {name: RESOLVERS[name] for name in options.resolvers.split(",")}
    require(options.binary, "unshare", "nsd", "dig", "dnssec-keygen", "dnssec-signzone",
            *(program for resolver in options.resolvers.values() for program in resolver.programs))
    enter_own_network()
    # Whoever stops the program stops its children, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f"seed {options.seed}", flush=True)
    for part in options.parts:
        with tempfile.TemporaryDirectory() as directory:
            PARTS[part](options, Workshop(directory, options.binary))


if __name__ == "__main__":
    main()
