"""Resolvers as they come, but for the root that they know, loopback addresses, and caches so large that nothing
is lost. Each says how much it keeps, and how often it made an answer up of NSEC records (RFC 8198)."""
import json
import re
import socket
import subprocess
import typing
import urllib.request

from .lists import ZONE
from .programs import Program
from .stub import AD, RD, is_authentic, until_answered

# BIND listens only on addresses of interfaces.
ADDRESS = ("127.0.0.1", 53)
CACHE_MIB = 256


class Kept(typing.NamedTuple):
    """What a resolver holds, in entries as it counts them, and how many answers it has synthesised."""
    entries: int
    synthesised: int


class Resolver:
    """Started when made; `anchor` is the DS rdata of the root."""
    programs: tuple = ()
    # Whether what it makes up of NSEC records may live on when they are gone.
    outlives_nsec = False

    def __init__(self, stack, directory, root):
        self.directory = directory
        self.program = Program(self.configure(root.hints, root.anchor))
        stack.callback(self.program.stop)
        until_answered(self.program, ADDRESS, ZONE)

    def write(self, name, text):
        path = f"{self.directory}/{name}"
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        return path

    def takes_for_secure(self):
        """True if the apex of the list validates."""
        return is_authentic(until_answered(self.program, ADDRESS, ZONE, flags=RD | AD))

    def configure(self, hints, anchor):
        """Writes the configuration; the command."""
        raise NotImplementedError

    def kept(self):
        raise NotImplementedError


class Unbound(Resolver):
    programs = ("unbound", "unbound-control")

    def configure(self, hints, anchor):
        path = self.write("unbound.conf", f"""server:
 directory: "{self.directory}"
 chroot: ""
 username: ""
 pidfile: ""
 use-syslog: no
 do-daemonize: no
 num-threads: 1
 interface: {ADDRESS[0]}
 do-ip6: no
 do-not-query-localhost: no
 root-hints: "{hints}"
 trust-anchor: ". DS {anchor}"
 val-log-level: 2
 extended-statistics: yes
 msg-cache-size: {CACHE_MIB}m
 rrset-cache-size: {CACHE_MIB}m
remote-control:
 control-enable: yes
 control-use-cert: no
 control-interface: "{self.directory}/unbound.control"
""")
        return ["unbound", "-d", "-c", path]

    def control(self, *words):
        return subprocess.run(["unbound-control", "-c", f"{self.directory}/unbound.conf", *words], check=True,
                              capture_output=True, text=True).stdout

    def kept(self):
        counts = dict(line.split("=", 1) for line in self.control("stats_noreset").splitlines())
        return Kept(int(counts["msg.cache.count"]) + int(counts["rrset.cache.count"]),
                    sum(int(count) for name, count in counts.items() if "aggressive" in name))


class Bind(Resolver):
    programs = ("named",)

    def configure(self, hints, anchor):
        tag, algorithm, kind, digest = anchor.split(None, 3)
        path = self.write("named.conf", f"""options {{
 directory "{self.directory}"; pid-file none; session-keyfile none; lock-file none;
 listen-on {{ {ADDRESS[0]}; }}; listen-on-v6 {{ none; }};
 recursion yes; allow-query {{ any; }}; dnssec-validation yes; max-cache-size {CACHE_MIB}m; notify no;
 empty-zones-enable no;
}};
trust-anchors {{ . static-ds {tag} {algorithm} {kind} "{digest}"; }};
zone "." {{ type hint; file "{hints}"; }};
controls {{ }};
statistics-channels {{ inet {ADDRESS[0]} port 8053 allow {{ any; }}; }};
""")
        return ["named", "-g", "-4", "-n", "1", "-c", path]

    def kept(self):
        with urllib.request.urlopen(f"http://{ADDRESS[0]}:8053/json/v1/server") as answer:
            said = json.load(answer)
        cache = said["views"]["_default"]["resolver"]["cache"]
        return Kept(sum(count for name, count in cache.items() if not name.startswith("#")),
                    sum(said["nsstats"].get(f"Synth{kind}", 0) for kind in ("NXDOMAIN", "NODATA", "WILDCARD")))


class Kresd(Resolver):
    programs = ("kresd",)

    def configure(self, hints, anchor):
        with open(hints, encoding="ascii") as file:
            server = file.read().split()[-1]
        path = self.write("kresd.conf", f"""net.listen('{ADDRESS[0]}', 53, {{ kind = 'dns' }})
net.ipv6 = false
cache.open({CACHE_MIB} * MB, 'lmdb://{self.directory}/kresd-cache')
modules = {{ 'hints', 'stats' }}
modules.unload('ta_update')
modules.unload('ta_signal_query')
modules.unload('priming')
modules.unload('detect_time_skew')
hints.root({{ ['ns.root.'] = {{ '{server}' }} }})
trust_anchors.remove('.')
trust_anchors.add('. DS {anchor}')
""")
        return ["kresd", "-n", "-c", path, self.directory]

    def control(self, *expressions):
        """What kresd prints for the values of Lua expressions."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(10)
            control.connect(f"{self.directory}/control/{self.program.process.pid}")
            said = b""
            for expression in expressions:
                control.sendall(f"{expression}\n".encode())
                while not said.endswith(b"\n> ") or not said.strip(b"\n> "):
                    said += control.recv(65536)
            return said.decode()

    def kept(self):
        # Of names asked for once each, whatever came from the cache was made up.
        said = re.findall(r"\d+", self.control("cache.count()")) + \
            re.findall(r"\d+", self.control("stats.get('answer.cached')"))
        return Kept(int(said[0]), int(said[1]))


class PowerDNS(Resolver):
    programs = ("pdns_recursor", "rec_control")
    # Its packet cache keeps such answers as long as their SOA record, which may be younger.
    outlives_nsec = True
    dnssec = "validate"

    def configure(self, hints, anchor):
        lua = self.write("anchors.lua", f"clearTA()\naddTA('.', '{anchor}')\n")
        self.write("recursor.conf", f"""config-dir={self.directory}
socket-dir={self.directory}
local-address={ADDRESS[0]}
hint-file={hints}
lua-config-file={lua}
dnssec={self.dnssec}
dont-query=
threads=1
pdns-distributes-queries=no
security-poll-suffix=
disable-syslog=yes
""")
        return ["pdns_recursor", f"--config-dir={self.directory}"]

    def kept(self):
        # Of names asked for once each, whatever was answered out of the cache was made up.
        names = ["cache-entries", "negcache-entries", "packetcache-entries", "aggressive-nsec-cache-entries",
                 "cache-hits"]
        said = subprocess.run(["rec_control", f"--socket-dir={self.directory}", "get", *names], check=True,
                              capture_output=True, text=True).stdout.split()
        counts = [int(count) for count in said]
        return Kept(sum(counts[:-1]), counts[-1])


class PowerDNSDefault(PowerDNS):
    dnssec = "process"


RESOLVERS = {"unbound": Unbound, "bind": Bind, "kresd": Kresd, "pdns": PowerDNS, "pdns-default": PowerDNSDefault}
