#!/usr/bin/env python3
"""A signed zone behind real validating resolvers: exceptions, data that changes, keys that roll over.

    cargo build --release
    tests/signed-resolvers.py [exceptions|reload|rollover]… [--addresses 10000] [--lists 3] [--server signed|offline]
                              [--resolvers unbound,bind,kresd,pdns] [--binary target/release/nibbl] [--seed N]

exceptions   Random listings and exceptions of any length, many inside one another. Twice as many addresses near
             their borders are asked, each once: the cache is warm for the second half, and all verdicts are right.
reload       Answers of a list fill a resolver's cache; listings come and go inside cached ranges. When the larger of
             the two TTLs (of the records, and of NSEC) is over, all verdicts are those of the new list; with
             PowerDNS Recursor, whose packet cache keeps what it made of old records, once more the latter.
rollover     A key that signs the zone is replaced (pre-publish, RFC 6781, section 4.1.1.1), then the key that the
             zone above knows (double-DS, section 4.1.2), by `nibbl key rollover` and a parent that does what the
             CDS records say (RFC 7344). The time moves on by half an hour a step for weeks. At each step names
             that unbound knows and names that it never saw are right, and secure. The same with a zone that has one
             key for everything. In the end a month passes, in which all signatures are renewed, and the parent is
             given a wrong DS record: then nothing is secure, which shows that the test would have noticed.

`offline` is the exported zone, signed by dnssec-signzone, in NSD; it stands for a server that is right. Programs
run in a network namespace of their own (root, or user namespaces); the last moves the time by libfaketime.
"""
import argparse
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time

from peers import lists, servers, stub
from peers.clock import Clock
from peers.programs import enter_own_network, require
from peers.proxy import Proxy
from peers.resolvers import ADDRESS, RESOLVERS
from peers.workshop import Workshop

HALF_HOUR, DAY = 1800, 86400
# The TTLs of the list whose data changes: of its records, and of NSEC (RFC 9077).
TTL, NEGATIVE_TTL = 8, 12


def fail(text):
    sys.exit(f"FAILED: {text}")


def ask(addresses, flags=stub.RD):
    return stub.ask(ADDRESS, [(stub.reversed_name(address, lists.ZONE), stub.A) for address in addresses], flags=flags)


def shown(address):
    return stub.reversed_name(address, "")


@contextlib.contextmanager
def behind(resolver_class, workshop, kind, of_list):
    """A resolver that finds the list from the root, and the directory of the programs' files."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        workshop.start(stack, kind, of_list, directory)
        stack.callback(Proxy(servers.SERVER, servers.DELEGATED).stop)
        workshop.root.start(stack, servers.SERVER, directory)
        resolver = resolver_class(stack, directory, workshop.root)
        if not resolver.takes_for_secure():
            resolver.program.fail("takes the zone for insecure")
        yield resolver, directory


def exceptions(options, workshop):
    for number in range(options.lists):
        of_list = lists.nested(options.seed + number)
        addresses = next(iter(lists.scenarios(of_list, 2 * options.addresses).values()))
        listed = sum(map(of_list.lists, addresses))
        for name, resolver_class in options.resolvers.items():
            with behind(resolver_class, workshop, options.server, of_list) as (resolver, _):
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
    addresses = list(dict.fromkeys(lists.near_borders(old, options.addresses // 2, draw)
                                   + lists.near_borders(new, options.addresses // 2, draw)))
    others = sum(old.lists(address) != new.lists(address) for address in addresses)
    for name, resolver_class in options.resolvers.items():
        bound = max(TTL, NEGATIVE_TTL) + (NEGATIVE_TTL if resolver_class.outlives_nsec else 0)
        with behind(resolver_class, workshop, "signed", old) as (_, directory):
            def verdicts():
                return zip(addresses, map(stub.is_listed, ask(addresses)))

            for address, verdict in verdicts():
                if verdict is not old.lists(address):
                    fail(f"{name}: {shown(address)} is {verdict} before the change")
            with open(f"{workshop.of(old)}/list", "w", encoding="ascii") as file:
                file.write(new.text)
            servers.run(options.binary, "reload", "--force", "--control", f"{directory}/nibbl.control")
            changed_at, stale = time.monotonic(), []
            while time.monotonic() < changed_at + bound:
                stale.append(0)
                for address, verdict in verdicts():
                    if verdict is None:
                        fail(f"{name}: {shown(address)} has no verdict meanwhile")
                    stale[-1] += verdict is not new.lists(address)
                time.sleep(1)
            # Resolvers count whole seconds.
            time.sleep(2)
            for address, verdict in verdicts():
                if verdict is not new.lists(address):
                    fail(f"{name}: {shown(address)} is {verdict} after the change")
        workshop.forget(old)
        print(f"reload: {name}: {others:,} of {len(addresses):,} verdicts change; others than the new ones in {bound} s: "
              f"{' '.join(map(str, stale))}; then 0", flush=True)


def not_well(resolver, draw, known):
    """Asks names that the resolver has seen before and names that it has not; what is wrong, if anything."""
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
            return f"{name}: rcode {stub.code(reply)}, secure {stub.is_authentic(reply)}\n{said}"
    return None


class Rollover:
    """One rollover: the programs, and the steps that the time takes."""

    def __init__(self, options, workshop, clock, resolver, directory):
        self.binary, self.workshop, self.clock = options.binary, workshop, clock
        self.resolver, self.control = resolver, f"{directory}/nibbl.control"
        self.draw = random.Random(options.seed)
        self.known = [top | self.draw.getrandbits(96) for top in (lists.LISTED << 96, 1 << 127) for _ in range(5)]
        self.ds = servers.records(servers.ROOT, "DS")
        self.keys = self.published()

    @staticmethod
    def published():
        return servers.records(servers.SERVER, "DNSKEY")

    def say(self, text):
        print(f"rollover: day {self.clock.ahead / DAY:.1f}: {text}", flush=True)

    def command(self, *options):
        servers.run(self.binary, "key", "rollover", lists.ZONE, "--keys", self.workshop.keys, *options,
                    clock=True)
        servers.run(self.binary, "reload", "--control", self.control)

    def step(self):
        """Half an hour: the parent looks for CDS records, and the keys may change."""
        wanted = servers.records(servers.SERVER, "CDS")
        if wanted and wanted != self.ds:
            self.ds = wanted
            self.workshop.root.delegate(wanted)
            self.say(f"{len(wanted)} DS records")
        if (keys := self.published()) != self.keys:
            self.keys = keys
            self.say(f"{len(keys)} keys")
        if wrong := not_well(self.resolver, self.draw, self.known):
            fail(f"day {self.clock.ahead / DAY:.2f}: {wrong}")
        self.clock.move(HALF_HOUR)

    def until(self, done):
        steps = 0
        while not done():
            self.step()
            steps += 1
            if steps > 90 * DAY // HALF_HOUR:
                fail("the rollover does not end")
        return steps

    def replace(self, what, *options):
        """Replaces a key, from the command to two days after the old one is gone."""
        before = self.keys
        self.command(*options)
        steps = 0
        if what != "zone-signing":
            steps += self.until(lambda: len(self.ds) == 2)
            self.command(*options, "--ds-seen", "--ds-ttl", "1h")
        steps += self.until(lambda: len(self.keys) == len(before) and self.keys != before and len(self.ds) == 1)
        for _ in range(2 * DAY // HALF_HOUR):
            self.step()
        self.say(f"{what} key replaced; {steps:,} steps, no answer wrong or insecure")


def rollover(options, workshop):
    for split in (True, False):
        shutil.rmtree(workshop.keys)
        os.mkdir(workshop.keys)
        with Clock(workshop.directory) as clock:
            servers.run(options.binary, "key", "generate", lists.ZONE, "--keys", workshop.keys,
                        *(["--split"] if split else []), clock=True)
            with behind(RESOLVERS["unbound"], workshop, "signed", lists.one()) as (resolver, directory):
                run = Rollover(options, workshop, clock, resolver, directory)
                if split:
                    run.replace("zone-signing")
                    run.replace("key-signing", "--key-signing")
                else:
                    run.replace("combined")
                    for _ in range(30 * 4):
                        clock.move(DAY // 4)
                        run.step()
                    run.say("a month later all signatures have been renewed")
                workshop.root.delegate([" ".join(run.ds[0].split()[:3] + ["0" * 64])])
                clock.move(DAY)
                if not not_well(resolver, run.draw, run.known):
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
