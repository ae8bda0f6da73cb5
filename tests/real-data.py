#!/usr/bin/env python3
"""Fetches three real sets of address ranges and writes them as nibbl's data files.

    tests/real-data.py DIR
    NIBBL_REAL_DATA=DIR cargo test --release --test it real_data -- --nocapture

The sets are installed by package name, with npm and apt, and not kept in the repository, as their
licences are not ours: npm @ip-location-db/asn and @ip-location-db/geo-whois-asn-country (CC BY 4.0),
Debian tor-geoipdb (CC BY-SA 4.0). For each of them DIR holds afterwards

    NAME.ip        both families as ranges, in nibbl's own format
    NAME.ip6trie   the IPv6 half as prefixes, in rbldnsd's format
    NAME.csv       "first,last,text": what must be answered
"""
import argparse
import csv
import glob
import ipaddress
import os
import subprocess
import tempfile

HEAD = "$SOA 1h ns1.example.net hostmaster.example.net 1 1h 15m 30d 5m\n$NS 1d ns1.example.net\n"


def npm(package, work):
    """The IPv4 and IPv6 tables of a package, rows of (first, last, text)."""
    subprocess.run(["npm", "pack", "--silent", package], cwd=work, check=True, stdout=subprocess.DEVNULL)
    name = package.replace("@", "").replace("/", "-")
    archive, = glob.glob(f"{work}/{name}-[0-9]*.tgz")
    subprocess.run(["tar", "xzf", archive, "-C", work], check=True)
    for family in ("ipv4", "ipv6"):
        path = f"{work}/package/{package.split('/')[1]}-{family}.csv"
        with open(path, encoding="utf-8") as table:
            for row in csv.reader(table):
                yield ipaddress.ip_address(row[0]), ipaddress.ip_address(row[1]), row[2]


def tor(work):
    """Tor's tables: IPv4 as numbers, IPv6 as text."""
    subprocess.run(["apt-get", "-qq", "download", "tor-geoipdb"], cwd=work, check=True, stderr=subprocess.DEVNULL)
    package, = glob.glob(f"{work}/tor-geoipdb_*.deb")
    subprocess.run(["dpkg-deb", "-x", package, work], check=True)
    for name, address in (("geoip", lambda text: ipaddress.IPv4Address(int(text))), ("geoip6", ipaddress.IPv6Address)):
        with open(f"{work}/usr/share/tor/{name}", encoding="utf-8") as table:
            for line in table:
                if not line.startswith("#"):
                    first, last, text = line.strip().split(",")
                    yield address(first), address(last), text


def write(directory, name, rows):
    """Writes one set, and says what it is."""
    rows = sorted(rows, key=lambda row: (row[0].version, row[0]))
    disjoint = rows[:1]
    for row in rows[1:]:
        before = disjoint[-1]
        if row[0].version != before[0].version or row[0] > before[1]:
            disjoint.append(row)
    prefixes = 0
    with open(f"{directory}/{name}.ip", "w") as ip, open(f"{directory}/{name}.ip6trie", "w") as trie, \
            open(f"{directory}/{name}.csv", "w") as oracle:
        ip.write(HEAD)
        trie.write(HEAD)
        for first, last, text in disjoint:
            oracle.write(f"{first},{last},{text}\n")
            ip.write(f"{first}-{last} :2:{text}\n")
            if first.version == 6:
                for prefix in ipaddress.summarize_address_range(first, last):
                    trie.write(f"{prefix} :2:{text}\n")
                    prefixes += 1
    print(f"{name}: {len(disjoint)} ranges ({len(rows) - len(disjoint)} overlapping ones left out), "
          f"{prefixes} IPv6 prefixes")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("directory", metavar="DIR", help="made if it is not there; sets that are in it stay")
    directory = arguments.parse_args().directory
    os.makedirs(directory, exist_ok=True)
    for name, source in (("asn", lambda work: npm("@ip-location-db/asn", work)),
                         ("country", lambda work: npm("@ip-location-db/geo-whois-asn-country", work)),
                         ("tor", tor)):
        if os.path.exists(f"{directory}/{name}.csv"):
            print(f"{name}: already there")
            continue
        with tempfile.TemporaryDirectory() as work:
            write(directory, name, list(source(work)))


main()
