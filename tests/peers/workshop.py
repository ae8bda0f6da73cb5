"""What several runs share: the root's key, and lists as files, as exported zones, and signed offline."""
import os
import shutil

from . import servers
from .lists import ZONE

# The ways in which a list is served with signatures. In those that end in `-plain`, names that exist only
# because others below them do have no records.
SIGNED = {"signed", "offline", "onlinesign", "signed-plain", "offline-plain"}


class Workshop:
    def __init__(self, directory, binary):
        # rbldnsd gives up root before it reads.
        os.chmod(directory, 0o755)
        self.directory, self.binary = directory, os.path.abspath(binary)
        self.root = servers.Root(directory)
        self.keys = f"{directory}/keys"
        os.mkdir(self.keys)
        servers.new_key(self.keys, ZONE)

    def of(self, of_list):
        """The directory of a list, with the list in it."""
        path = f"{self.directory}/{of_list.title.replace('/', '')}"
        if not os.path.exists(path):
            os.mkdir(path)
            os.chmod(path, 0o755)
            with open(f"{path}/list", "w", encoding="ascii") as file:
                file.write(of_list.text)
        return path

    def forget(self, of_list):
        shutil.rmtree(self.of(of_list))

    def zone(self, of_list, empty_non_terminals, signed):
        """The path of the exported zone."""
        directory = self.of(of_list)
        path = f"{directory}/{empty_non_terminals}"
        if not os.path.exists(path):
            servers.run(self.binary, "export", f"{ZONE}:ip6trie:list", "--dir", directory, "--format", "zone",
                        "--empty-non-terminals", empty_non_terminals, "--output", path)
        if signed and not os.path.exists(f"{path}.signed"):
            servers.sign(self.keys, ZONE, path)
        return f"{path}.signed" if signed else path

    def start(self, stack, kind, of_list, directory, address=servers.SERVER):
        """Starts a server; its own files are in `directory`."""
        empty_non_terminals = "plain" if kind.endswith("-plain") else "marker"
        match kind.removesuffix("-plain"):
            case "rbldnsd":
                return servers.start_rbldnsd(stack, self.of(of_list), address)
            case "nibbl":
                return servers.start_nibbl(stack, directory, self.of(of_list), address, self.binary)
            case "signed":
                options = (f'signed = true\nkeys = "{self.keys}"\n'
                           f'empty_non_terminals = "{empty_non_terminals}"')
                return servers.start_nibbl(stack, directory, self.of(of_list), address, self.binary, options)
            case "offline":
                zone = self.zone(of_list, empty_non_terminals, True)
                return servers.start_nsd(stack, directory, ZONE, address, zone)
            case _:
                zone = self.zone(of_list, empty_non_terminals, False)
                return servers.start_knot(stack, directory, ZONE, address, zone, online=True)
