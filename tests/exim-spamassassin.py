#!/usr/bin/env python3
"""Exim and SpamAssassin, configured as docs/mail-software.md says, ask nibbl through unbound: clients that are
listed, excepted, unlisted, allowlisted, of both IP versions, and what is made of their mail.

Run by hand, as root on Debian, and not by .ci/run: Exim cannot be installed beside Postfix. So the packages are
fetched and unpacked below target/, and nothing is installed; a network and a mount namespace of its own hold the
resolver on port 53 and the files that say where it is.

    cargo build && sudo tests/exim-spamassassin.py [--nibbl PROGRAM]

Ends with 0 when all verdicts are as expected."""
import argparse
import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile

from peers.programs import Program, enter_own_network, require

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
UNPACKED = REPOSITORY / "target" / "mail-software"
HEAD = "$SOA 1h ns1.example.net hostmaster.example.net 1 2h 30m 7d 10m\n$NS 1d ns1.example.net\n"
BLOCKLIST = HEAD + """:127.0.0.2:$ is listed, see https://bl.example/$
192.0.2.0/24
!192.0.2.77
2001:db8::/32
!2001:db8:ffff::/48
2001:db8:ffff:1::/64
"""
ALLOWLIST = HEAD + ":127.0.2.3:\n192.0.2.99\n2001:db8:a::25/128\n"
# Client, is it on the blocklist, is it on the allowlist.
CLIENTS = [
    ("2001:db8::1", True, False), ("2001:db8:ffff:1::5", True, False), ("2001:db8:ffff::1", False, False),
    ("2001:db9::1", False, False), ("2001:db8:a::25", True, True), ("2a00:1450::5", False, False),
    ("192.0.2.1", True, False), ("192.0.2.77", False, False), ("198.51.100.1", False, False),
    ("192.0.2.99", True, True),
]


def unpack():
    """Fetches and unpacks what is not there yet."""
    if (UNPACKED / "done").exists():
        return
    require("apt-get", "dpkg-deb")
    UNPACKED.mkdir(parents=True, exist_ok=True)

    def missing(package):
        planned = subprocess.run(["apt-get", "install", "-s", "--no-install-recommends", package], check=True,
                                 capture_output=True, text=True).stdout
        names = [line.split()[1] for line in planned.splitlines() if line.startswith("Inst ")]
        # Perl itself is there; of another point release it would not go with its own modules.
        return [name for name in names if not name.startswith(("perl", "libperl")) or name == "perl-openssl-defaults"]

    packages = sorted({*missing("exim4-daemon-light"), *missing("spamassassin")})
    subprocess.run(["apt-get", "download", "-q", *packages], check=True, cwd=UNPACKED)
    for package in UNPACKED.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, UNPACKED], check=True)
    (UNPACKED / "done").touch()


def put_in_place(directory, path, text):
    """Has `path` hold something else in this mount namespace."""
    other = directory / path.replace("/", "_")
    other.write_text(text, encoding="utf-8")
    subprocess.run(["mount", "--bind", other, path], check=True)


def exim(directory, client):
    """What Exim answers to RCPT when this client comes (-bh: a session that is only played)."""
    config = directory / "exim.conf"
    config.write_text("""
primary_hostname = mail.example.test
domainlist local_domains = example.test
exim_user = Debian-exim
never_users =
acl_smtp_rcpt = acl_check_rcpt
host_lookup =
log_file_path = :syslog
begin acl
acl_check_rcpt:
  deny !dnslists = wl.example=127.0.2.3
       dnslists = bl.example=127.0.0.2
       message = $dnslist_text
  accept domains = +local_domains
begin routers
begin transports
""", encoding="ascii")
    libraries = UNPACKED / "usr/lib/x86_64-linux-gnu"
    said = subprocess.run(
        [UNPACKED / "usr/sbin/exim4", "-C", config, "-bh", client], text=True, capture_output=True, timeout=60,
        env={**os.environ, "LD_LIBRARY_PATH": str(libraries)}, check=False,
        input="EHLO client.example.org\nMAIL FROM:<sender@example.org>\nRCPT TO:<recipient@example.test>\nQUIT\n")
    replies = [line for line in said.stdout.splitlines() if line[3:4] == " "]
    if len(replies) < 4:
        sys.exit(f"exim: {said.stdout}{said.stderr}")
    return replies[3]


def spamassassin(directory, client):
    """The tests that match a message from this client."""
    rules, site = directory / "rules", directory / "site"
    for made in (rules, site):
        made.mkdir(exist_ok=True)
    (site / "init.pre").write_text("".join(
        f"loadplugin Mail::SpamAssassin::Plugin::{plugin}\n" for plugin in ("Check", "DNSEval")), encoding="ascii")
    (rules / "nibbl.cf").write_text("""
util_rb_tld example test
report_safe 0
add_header all Status _YESNO_, score=_SCORE_ tests=_TESTS_
dns_server 127.0.0.1:53
dns_available yes
trusted_networks 203.0.113.25
header   RCVD_IN_NIBBL         eval:check_rbl('nibbl-lastexternal', 'bl.example.', '^127\\.0\\.0\\.2$')
describe RCVD_IN_NIBBL         The sender is listed in bl.example
score    RCVD_IN_NIBBL         6
tflags   RCVD_IN_NIBBL         net
header   RCVD_IN_NIBBL_ALLOWED eval:check_rbl('nibblwl-firsttrusted', 'wl.example.', '^127\\.0\\.2\\.3$')
describe RCVD_IN_NIBBL_ALLOWED The sender is listed in wl.example
score    RCVD_IN_NIBBL_ALLOWED -10
tflags   RCVD_IN_NIBBL_ALLOWED net nice
""", encoding="ascii")
    literal = f"IPv6:{client}" if ":" in client else client
    message = f"""Received: from client.example.org (client.example.org [{literal}])
\tby mail.example.test (Postfix) with ESMTP id 4XyZ1234
\tfor <recipient@example.test>; Sun, 22 Nov 2026 06:00:00 +0000 (UTC)
From: sender@example.org
To: recipient@example.test
Subject: test
Date: Sun, 22 Nov 2026 06:00:00 +0000
Message-ID: <1@example.org>

text
"""
    modules = [UNPACKED / part for part in ("usr/share/perl5", "usr/lib/x86_64-linux-gnu/perl5/5.36")]
    said = subprocess.run(
        ["perl", "-T", *(f"-I{path}" for path in modules), UNPACKED / "usr/bin/spamassassin", "-x",
         f"--configpath={rules}", f"--siteconfigpath={site}", f"--prefspath={directory}/none"],
        text=True, capture_output=True, timeout=120, input=message, check=False)
    verdict = next((line for line in said.stdout.replace("\n\t", " ").splitlines()
                    if line.startswith("X-Spam-Status:")), None)
    if verdict is None:
        sys.exit(f"spamassassin: {said.stdout}{said.stderr}")
    return verdict


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--nibbl", default=REPOSITORY / "target/debug/nibbl", help="the program, target/debug/nibbl")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("run it as root")
    require("unbound", "unshare", "ip", "perl")
    if os.environ.get("PEERS_NETWORK") != "own":
        unpack()
        os.environ["PEERS_NETWORK"] = "own"
        os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, *sys.argv])
    enter_own_network()
    wrong = 0
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.chmod(0o755)
        passwd = pathlib.Path("/etc/passwd").read_text(encoding="utf-8")
        group = pathlib.Path("/etc/group").read_text(encoding="utf-8")
        if "Debian-exim" not in passwd:
            put_in_place(directory, "/etc/passwd", passwd + "Debian-exim:x:65000:65000::/nonexistent:/bin/false\n")
            put_in_place(directory, "/etc/group", group + "Debian-exim:x:65000:\n")
        put_in_place(directory, "/etc/resolv.conf", "nameserver 127.0.0.1\n")
        (directory / "bl").write_text(BLOCKLIST, encoding="ascii")
        (directory / "wl").write_text(ALLOWLIST, encoding="ascii")
        server = Program([arguments.nibbl, "serve", "--listen", "127.0.0.1:5353", "--control", directory / "control",
                          "--dir", directory, "bl.example:ip:bl", "wl.example:ip:wl"], "nibbl: ready")
        stack.callback(server.stop)
        (directory / "unbound.conf").write_text(f"""server:
 directory: "{directory}"
 chroot: ""
 username: ""
 pidfile: ""
 use-syslog: no
 do-daemonize: no
 interface: 127.0.0.1
 do-not-query-localhost: no
 module-config: "iterator"
 qname-minimisation: yes
 qname-minimisation-strict: yes
stub-zone:
 name: bl.example
 stub-addr: 127.0.0.1@5353
stub-zone:
 name: wl.example
 stub-addr: 127.0.0.1@5353
remote-control:
 control-enable: no
""", encoding="ascii")
        resolver = Program(["unbound", "-d", "-c", directory / "unbound.conf"], "start of service")
        stack.callback(resolver.stop)
        for client, listed, allowed in CLIENTS:
            reply = exim(directory, client)
            expected = ("550 " if listed and not allowed else "250 ")
            good = reply.startswith(expected) and (expected == "250 " or f"https://bl.example/{client}" in reply)
            status = spamassassin(directory, client)
            tests = status.split("tests=")[-1].split(",")
            good_status = (("RCVD_IN_NIBBL" in tests) == listed
                           and ("RCVD_IN_NIBBL_ALLOWED" in tests) == allowed
                           and status.startswith("X-Spam-Status: Yes") == (listed and not allowed))
            for name, is_good, said in (("exim", good, reply), ("spamassassin", good_status, status)):
                print(f"{'as expected' if is_good else 'WRONG':12}{client:20}{name:13}{said}")
                wrong += not is_good
    if wrong:
        sys.exit(f"{wrong} verdicts are wrong")
    print("all verdicts are as expected")


if __name__ == "__main__":
    main()
