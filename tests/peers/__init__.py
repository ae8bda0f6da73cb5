"""Other people's servers and resolvers around nibbl, for the scripts in benches/ and tests/.

    programs   children that are ready when they say so, and a network of one's own
    stub       a stub resolver: many questions in flight, and what their answers say of an address
    proxy      counts what passes between a resolver and a server
    lists      lists of prefixes, and the addresses that are looked up in them
    servers    rbldnsd, nibbl, NSD and Knot with one list; the root above them
    resolvers  unbound, BIND, Knot Resolver, PowerDNS Recursor, and their own counters
"""
