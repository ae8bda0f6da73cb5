"""Children that are ready when they say so, and a network of one's own."""
import os
import re
import shutil
import socket
import subprocess
import sys
import threading

# Programs that are not in everybody's PATH.
os.environ["PATH"] += ":/usr/sbin:/sbin"


class Program:
    """A child, its output read to the end, that is ready once a line matches."""

    def __init__(self, command, ready=None, environment=None):
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        errors="replace", env={**os.environ, "NIBBL_LOG": "plain", **(environment or {})})
        self.lines, self.match = [], None
        found = threading.Event()

        def read():
            for line in self.process.stdout:
                self.lines.append(line)
                if ready and self.match is None and (match := re.search(ready, line)):
                    self.match = match
                    found.set()
            found.set()

        threading.Thread(target=read, daemon=True).start()
        if ready:
            found.wait(60)
            if self.match is None:
                self.fail("did not start")

    def fail(self, reason):
        self.stop()
        sys.exit(f"{self.process.args[0]} {reason}:\n{''.join(self.lines[-50:])}")

    def resident(self):
        """Octets of memory."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            line = next(line for line in status if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def require(*programs):
    """Ends the script if one of the programs is not there."""
    if missing := [program for program in programs if not shutil.which(program)]:
        sys.exit(f"not there: {', '.join(map(str, missing))}")


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        udp.bind(("127.0.0.1", 0))
        tcp.bind(udp.getsockname())
        return udp.getsockname()


def enter_own_network():
    """Starts the script again in a network namespace with nothing but loopback: delegations know no ports, so
    servers must be on port 53, where here nobody else is and nobody else can come."""
    if os.environ.get("PEERS_NETWORK") != "own":
        os.environ["PEERS_NETWORK"] = "own"
        namespaces = ["--net"] if os.geteuid() == 0 else ["--net", "--user", "--map-root-user"]
        os.execvp("unshare", ["unshare", *namespaces, sys.executable, *sys.argv])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
