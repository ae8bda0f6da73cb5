"""Lists of prefixes, as rbldnsd's ip6trie files, and the addresses that are looked up in them."""
import ipaddress
import random

ZONE = "bl.example"
HEAD = ("$SOA 1h ns1.example.net hostmaster.example.net 1 1h 15m 30d 1h\n$NS 1d ns1.example.net\n$TTL 1h\n"
        ":127.0.0.2:$ is listed\n")
# The entries that RFC 5782 asks of every list.
TEST_ENTRIES = ["::ffff:7f00:2/128", "!::ffff:7f00:1/128"]
# A /32 that is listed in all lists, and one that is not listed in any.
LISTED = 0x20010db8
UNLISTED = 0x2a001450


class List:
    """Prefixes that are listed or, with False, are exceptions. The longest that contains an address decides."""

    def __init__(self, title, prefixes):
        self.title, self.prefixes = title, dict(prefixes)
        lines = [f"{'' if listed else '!'}{ipaddress.IPv6Address(bits << 128 - length)}/{length}"
                 for (bits, length), listed in self.prefixes.items()]
        self.text = HEAD + "\n".join(lines + TEST_ENTRIES) + "\n"
        self.entries = len(lines) + len(TEST_ENTRIES)
        self.lengths = sorted({length for _, length in self.prefixes}, reverse=True)

    def lists(self, address):
        for length in self.lengths:
            if (listed := self.prefixes.get((address >> 128 - length, length))) is not None:
                return listed
        return False


def one():
    return List("one /32", {(LISTED, 32): True})


def mixture(title, networks, customers, sites):
    """So many /32s, /48s and /64s, as real lists have them: in bunches, none inside another."""
    draw = random.Random(1)

    def network():
        while True:
            top = draw.choice([0x2001, draw.randrange(0x2400, 0x2410), draw.randrange(0x2600, 0x2610),
                               draw.randrange(0x2a00, 0x2a10)])
            drawn = top << 16 | draw.getrandbits(16)
            if drawn not in taken and drawn not in (LISTED, UNLISTED):
                return drawn

    taken = set()
    for _ in range(networks):
        taken.add(network())
    large = [(bits, 32) for bits in sorted(taken)]
    customer_bits, site_bits = set(), set()
    providers = [network() for _ in range(max(customers // 2, 1))]
    while len(customer_bits) < customers:
        customer_bits.add(draw.choice(providers) << 16 | draw.getrandbits(16))
    homes = [draw.choice(providers) << 16 | draw.getrandbits(16) for _ in range(sites // 4)]
    homes = [home for home in homes if home not in customer_bits]
    while len(site_bits) < sites:
        site_bits.add(draw.choice(homes) << 16 | draw.getrandbits(16))
    prefixes = [(LISTED, 32), *large, *((bits, 48) for bits in sorted(customer_bits)),
                *((bits, 64) for bits in sorted(site_bits))]
    return List(title, {prefix: True for prefix in prefixes})


def real_size():
    return mixture("4,443 entries", 40, 400, 4_000)


def large():
    return mixture("100,000 entries", 200, 10_000, 89_797)


def exceptions():
    """Exceptions of several lengths, one inside a listing inside an exception, and lengths off the nibble."""
    def prefix(text):
        network = ipaddress.IPv6Network(text)
        return int(network.network_address) >> 128 - network.prefixlen, network.prefixlen

    listed = ["2001:db8::/32", "2001:db8:8040:1::/64", "2400:8000::/33", "2600:1234:5678::/47",
              "2a00:1:2:40::/58"]
    excepted = ["2001:db8:1:2::/64", "2001:db8:ffff::25/128", "2001:db8:8040::/42", "2a00:1:2:48::/61"]
    return List("exceptions", {prefix(text): text in listed for text in listed + excepted})


def nested(seed, count=60):
    """Random listings and exceptions of any length, many inside one another."""
    draw = random.Random(seed)
    prefixes = {(LISTED, 32): True}
    while len(prefixes) < count:
        bits, length = draw.choice(list(prefixes))
        if length == 128 or draw.random() < 0.1:
            length = draw.randrange(8, 40)
            bits = (1 << 125 | draw.getrandbits(125)) >> 128 - length
        longer = min(128, length + draw.choice([1, 2, 3, 4, 5, 8, 16, 32, 128]))
        inside = (bits << longer - length | draw.getrandbits(longer - length), longer)
        prefixes.setdefault(inside, not prefixes.get((bits, length), False) if draw.random() < 0.9 else True)
    return List(f"nested exceptions {seed}", prefixes)


LISTS = {"one": one, "real": real_size, "large": large, "exceptions": exceptions}


def scenarios(of_list, count):
    """By name: addresses to look up, no two alike."""
    draw = random.Random(2)

    def of(network, count):
        subnets = draw.sample(range(1 << 32), count)
        return [network << 96 | subnet << 64 | draw.getrandbits(64) for subnet in subnets]

    def anywhere(count):
        drawn = []
        while len(drawn) < count:
            address = 1 << 125 | draw.getrandbits(125)
            if not of_list.lists(address):
                drawn.append(address)
        return drawn

    if not all(of_list.prefixes.values()):
        return {"near borders": near_borders(of_list, count, draw)}
    mixed = of(LISTED, count // 2) + of(UNLISTED, count // 4) + anywhere(count - count // 2 - count // 4)
    draw.shuffle(mixed)
    return {"listed /32": of(LISTED, count), "unlisted /32": of(UNLISTED, count),
            "unlisted, random": anywhere(count), "mixed": mixed}


def near_borders(of_list, count, draw):
    """Inside every entry, its first and last addresses, and those one bit away from it."""
    drawn = {}
    entries = list(of_list.prefixes)
    for bits, length in entries:
        first, host = bits << 128 - length, (1 << 128 - length) - 1
        for address in (first, first | host, first - 1, first + host + 1):
            drawn[address % (1 << 128)] = True
    while len(drawn) < count:
        bits, length = draw.choice(entries)
        host = draw.getrandbits(128 - length) if length < 128 else 0
        off = 1 << 127 - draw.randrange(length) if draw.random() < 0.5 else 0
        drawn[(bits << 128 - length | host) ^ off] = True
    addresses = list(drawn)[:count]
    draw.shuffle(addresses)
    return addresses
