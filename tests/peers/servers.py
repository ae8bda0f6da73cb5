"""Authoritative servers with one list, and the root above them. They live in a network of their own (see
`programs.enter_own_network`), each at an address of its own."""
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request

from .clock import without_clock
from .lists import ZONE
from .programs import Program
from .stub import until_answered

ROOT = ("127.0.1.1", 53)
# What the root delegates to: the proxy before the server.
DELEGATED = ("127.0.1.2", 53)
# nibbl would give up root for a port below 1024, and does not say as whom it would go on.
SERVER = ("127.0.1.4", 5300)
# Of nibbl, at the address of its server.
METRICS_PORT = 9153
NAME_SERVER = "ns1.example.net"
ALGORITHM = "ECDSAP256SHA256"


def run(*command, clock=False, **options):
    """The output of a command that must succeed; with `clock` it has the moved time, if there is one."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=None if clock else without_clock(), check=False, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def start_nsd(stack, directory, name, address, zone_file):
    path = f"{directory}/nsd-{address[0]}.conf"
    with open(path, "w", encoding="ascii") as file:
        file.write(f"""server:
 ip-address: {address[0]}@{address[1]}
 username: ""
 chroot: ""
 zonesdir: "{directory}"
 pidfile: ""
 database: ""
 xfrdfile: "{directory}/xfrd-{address[0]}"
 zonelistfile: "{directory}/zones-{address[0]}"
 server-count: 1
 rrl-ratelimit: 0
remote-control:
 control-enable: no
zone:
 name: "{name}"
 zonefile: "{zone_file}"
""")
    program = Program(["nsd", "-d", "-c", path], environment=without_clock())
    stack.callback(program.stop)
    until_answered(program, address, name, seconds=60)
    return program


def start_knot(stack, directory, name, address, zone_file, online):
    """Knot DNS; with `online` it signs each answer when it is asked, with NSEC records as narrow as can be."""
    path = f"{directory}/knot.conf"
    module = "\n   module: mod-onlinesign/here" if online else ""
    with open(path, "w", encoding="ascii") as file:
        file.write(f"""server:
   rundir: "{directory}"
   listen: {address[0]}@{address[1]}
   udp-workers: 1
log:
 - target: stderr
   any: warning
database:
   storage: "{directory}"
policy:
 - id: here
   algorithm: {ALGORITHM.lower()}
   single-type-signing: on
mod-onlinesign:
 - id: here
   policy: here
zone:
 - domain: {name}
   file: "{zone_file}"
   zonefile-sync: -1
   journal-content: none{module}
""")
    program = Program(["knotd", "-c", path])
    stack.callback(program.stop)
    until_answered(program, address, name, seconds=60)
    return program


def start_rbldnsd(stack, directory, address):
    program = Program(["rbldnsd", "-n", "-q", "-c", "0", "-b", f"{address[0]}/{address[1]}", "-w", directory,
                       f"{ZONE}:ip6trie:list"], "zones reloaded")
    stack.callback(program.stop)
    return program


def start_nibbl(stack, directory, data, address, binary, options=""):
    """nibbl with the list in `data` as its zone; `options` are lines for the zone in the configuration."""
    path = f"{directory}/nibbl.toml"
    # nibbl confines itself to its files; moved time is in one more.
    clock = os.environ.get("FAKETIME_TIMESTAMP_FILE")
    read = [os.path.dirname(clock)] if clock else []
    with open(path, "w", encoding="ascii") as file:
        file.write(f"""dir = "{data}"

[server]
listen = ["{address[0]}:{address[1]}"]
workers = 1
control = "{directory}/nibbl.control"

[process]
read = {read}

[metrics]
listen = "{address[0]}:{METRICS_PORT}"

[[zone]]
name = "{ZONE}"
datasets = ["ip6trie:list"]
{options}
""")
    program = Program([binary, "serve", "--config", path])
    stack.callback(program.stop)
    until_answered(program, address, ZONE, seconds=60)
    return program


def signatures_made(address):
    """How many signatures nibbl has made at all."""
    with urllib.request.urlopen(f"http://{address[0]}:{METRICS_PORT}/metrics") as metrics:
        return int(re.search(r"^nibbl_signatures_made_total (\d+)", metrics.read().decode(), re.M)[1])


def new_key(directory, name):
    """One key for everything; the file's name without its ending."""
    return run("dnssec-keygen", "-q", "-a", ALGORITHM, "-f", "KSK", "-K", directory, name).strip()


def sign(keys, name, zone_file):
    """Signs a zone file offline, with the keys of a directory; the name of the signed one. -P: not verified."""
    run("dnssec-signzone", "-z", "-P", "-S", "-e", "now+63072000", "-K", keys, "-d", keys, "-o", name, "-f", f"{zone_file}.signed",
        zone_file)
    return f"{zone_file}.signed"


class Root:
    """A signed root zone that delegates the list to the proxy, securely if the server has keys."""

    def __init__(self, directory):
        self.directory = directory
        self.key = new_key(directory, ".")
        self.anchor = self.ds_of(f"{directory}/{self.key}.key")
        self.hints = f"{directory}/root.hints"
        with open(self.hints, "w", encoding="ascii") as file:
            file.write(f". 86400 NS ns.root.\nns.root. 86400 A {ROOT[0]}\n")

    @staticmethod
    def ds_of(key_file):
        """The rdata of a DS record."""
        return run("dnssec-dsfromkey", "-2", key_file).split(" DS ")[1].strip()

    def start(self, stack, server, directory):
        """Starts it with the delegation that the keys shown by the server ask for; true if there are any."""
        keys = run("dig", "+noall", "+answer", f"@{server[0]}", "-p", server[1], ZONE, "DNSKEY")
        ds = run("dnssec-dsfromkey", "-2", "-f", "-", ZONE, input=keys) if keys else ""
        self.zone_file = f"{directory}/root"
        self.write(ds)
        self.program = start_nsd(stack, directory, ".", ROOT, f"{self.zone_file}.signed")
        return bool(ds)

    def write(self, ds):
        """Writes and signs the zone, with DS records given as lines of a zone file."""
        with open(self.zone_file, "w", encoding="ascii") as file:
            file.write(f"""$TTL 3600
. SOA ns.root. hostmaster.root. 1 1800 900 604800 3600
. NS ns.root.
ns.root. A {ROOT[0]}
{ZONE}. NS {NAME_SERVER}.
{NAME_SERVER}. A {DELEGATED[0]}
{ds}""")
        sign(self.directory, ".", self.zone_file)

    def delegate(self, ds):
        """Publishes other DS records, given as rdata."""
        self.write("".join(f"{ZONE}. DS {rdata}\n" for rdata in ds))
        self.program.process.send_signal(signal.SIGHUP)
        while records(ROOT, "DS") != sorted(ds):
            time.sleep(0.01)


def records(server, record_type):
    """The rdata at the apex of the list, sorted."""
    said = run("dig", "+noall", "+answer", "+nosplit", f"@{server[0]}", "-p", server[1], ZONE, record_type)
    return sorted(" ".join(line.split()[4:]) for line in said.splitlines())
