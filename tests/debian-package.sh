#!/usr/bin/env bash
# The Debian package, by dpkg: installed, configured, started as its service file says, asked, upgraded with a
# changed configuration, removed and purged. All of it on a copy of the machine that is thrown away (an overlay, and a
# network namespace so that port 53 is free), as root. Needs what .ci/run installs.
#
#     tests/debian-package.sh target/debian/nibbl_VERSION_ARCH.deb
set -euo pipefail
export LC_ALL=C.UTF-8 PATH=$PATH:/usr/sbin:/sbin

say() { printf -- '-- %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

if [ "${1:-}" != --inside ]; then
    package=$(readlink -f "$1")
    scratch=$(mktemp -d)
    trap 'rmdir "$scratch"' EXIT
    # shellcheck disable=SC2016
    unshare --mount --net --pid --fork bash -euc '
        mount -t tmpfs none "$1"
        mkdir "$1/upper" "$1/work" "$1/root"
        mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
        mount -t proc none "$1/root/proc"
        mount --rbind /dev "$1/root/dev"
        mount -t tmpfs none "$1/root/run"
        mount -t tmpfs none "$1/root/tmp"
        mkdir "$1/root/tmp/upper" "$1/root/tmp/lower"
        mount --bind "$1/upper" "$1/root/tmp/upper"
        mount --bind / "$1/root/tmp/lower"
        cp "$2" "$1/root/tmp/debian-package.sh"
        cp "$3" "$1/root/tmp/nibbl.deb"
        ip link set lo up
        exec chroot "$1/root" /tmp/debian-package.sh --inside' _ "$scratch" "$(readlink -f "$0")" "$package"
    exit
fi

cd /tmp
unit=/lib/systemd/system/nibbl.service
config=/etc/nibbl/nibbl.toml
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d

# What the copy has that the machine has not, or has otherwise, or has no more; but for what dpkg and others keep of any
# package, and the user, who stays.
changes() {
    local path
    (cd /tmp/upper && find etc usr var -mindepth 1 \
        -not -path 'etc/passwd' -not -path 'etc/shadow' -not -path 'etc/group' -not -path 'etc/gshadow' \
        -not -path 'var/lib/dpkg/*' -not -path 'var/log/*' -not -path 'var/cache/*' -not -path '*/systemd/deb-systemd-*' \
        -not -name 'passwd-' -not -name 'shadow-' -not -name 'group-' -not -name 'gshadow-' -not -name '.pwd.lock' -not -name policy-rc.d) |
        while read -r path; do
            if [ -c "/tmp/upper/$path" ]; then
                echo "gone: /$path"
            elif [ ! -e "/tmp/lower/$path" ] && [ ! -L "/tmp/lower/$path" ]; then
                echo "left: /$path"
            elif [ -f "/tmp/upper/$path" ] && ! cmp -s "/tmp/upper/$path" "/tmp/lower/$path"; then
                echo "changed: /$path"
            fi
        done
}
installed() { dpkg-query --show --showformat '${Status}' nibbl 2>/dev/null; }
install_quietly() { dpkg --force-confold -i "$1" >dpkg.log 2>&1 || { cat dpkg.log; fail "dpkg -i $1"; }; }
answer() { dig @127.0.0.1 +short +tries=1 A 1.2.0.192.bl.example; }

# The value of a key of the service file.
value() { sed -n "s/^$1=//p" "$unit" | tail -n 1; }

# What systemd would do with the service file: directories, user, capability, program. It says when it is ready.
start() {
    local user group directory
    user=$(value User) group=$(value Group)
    for directory in "/run/$(value RuntimeDirectory)" "/var/lib/$(value StateDirectory)" "/var/log/$(value LogsDirectory)"; do
        install -d -o "$user" -g "$group" -m "$(value RuntimeDirectoryMode)" "$directory"
    done
    # shellcheck disable=SC2046
    setpriv --reuid "$user" --regid "$group" --clear-groups --no-new-privs \
        --inh-caps -all,+net_bind_service --ambient-caps -all,+net_bind_service \
        --bounding-set -all,+net_bind_service $(value ExecStart) >server.log 2>&1 &
    server=$!
    for _ in $(seq 300); do
        nibbl status >status.log 2>&1 && return
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    cat server.log status.log
    fail "the service does not become ready"
}

say "install"
[ -z "$(installed)" ] || [ "$(installed)" = "unknown ok not-installed" ] || fail "nibbl is installed already"
install_quietly nibbl.deb
dpkg --verify nibbl
getent passwd nibbl >/dev/null || fail "no user nibbl"
data=$(stat -c '%U:%G %a' /var/lib/nibbl) || fail "no directory for the data"
[ "$data" = "root:root 755" ] || fail "the directory of the data is $data"
[ "$(readlink -f "$(command -v nibbl)")" = /usr/bin/nibbl ] || fail "another nibbl comes first"
for page in nibbl nibbl-serve nibbl-check nibbl.toml; do
    [ -n "$(find /usr/share/man -name "$page.[15].gz")" ] || fail "no man page $page"
done
bash -n /usr/share/bash-completion/completions/nibbl

say "the service file"
systemd-analyze verify "$unit"
systemd-analyze security --offline=true --threshold=20 --no-pager "$unit" | tail -n 1

say "configure"
said=$(nibbl check --config "$config" || true)
[ "$said" = "error: no zones are configured" ] || { echo "nibbl check says: $said"; exit 1; }
cp /usr/share/doc/nibbl/examples/bl.ip* /var/lib/nibbl/
printf '\n[[zone]]\nname = "bl.example"\ndatasets = ["ip4set:bl.ip4set", "ip6trie:bl.ip6trie"]\n' >>"$config"
nibbl check --strict --config "$config"

say "start and ask"
start
[ "$(answer)" = 127.0.0.2 ] || fail "the answer is '$(answer)'"
# shellcheck disable=SC2046
setpriv --reuid "$(value User)" --regid "$(value Group)" --clear-groups $(value ExecReload)
grep -q try-restart /var/lib/dpkg/info/nibbl.postinst || fail "an upgrade does not start the service anew"
if grep -q 'restart.*nibbl\.socket' /var/lib/dpkg/info/nibbl.postinst; then fail "an upgrade closes the sockets"; fi

say "upgrade: the changed configuration stays, the server answers"
dpkg-deb --raw-extract nibbl.deb newer
sed -i 's/^Version: .*/&+upgrade/' newer/DEBIAN/control
echo '# A line of the new version.' >>newer/etc/nibbl/nibbl.toml
dpkg-deb --build --root-owner-group newer newer.deb >/dev/null
chown nibbl /var/lib/nibbl && chmod 750 /var/lib/nibbl
install_quietly newer.deb
[ "$(stat -c '%U %a' /var/lib/nibbl)" = "nibbl 750" ] || fail "the upgrade changed the directory of the data"
chown root /var/lib/nibbl && chmod 755 /var/lib/nibbl
dpkg-query --show nibbl
grep -q '^name = "bl.example"' "$config" || fail "the upgrade overwrote the configuration"
[ -e "$config.dpkg-dist" ] || fail "the new version's configuration is not beside the old one"
[ "$(answer)" = 127.0.0.2 ] || fail "no answer after the upgrade"
kill "$server" && wait "$server"
start
[ "$(answer)" = 127.0.0.2 ] || fail "no answer of the upgraded server"
kill "$server" && wait "$server"

say "remove: the program is gone, the configuration stays"
dpkg --remove nibbl >dpkg.log 2>&1 || { cat dpkg.log; fail "dpkg --remove"; }
[ ! -e /usr/bin/nibbl ] && [ ! -e "$unit" ] || fail "the program or its service is still there"
grep -q '^name = "bl.example"' "$config" || fail "removing took the configuration"

say "purge: data files stay, nothing else"
dpkg --purge nibbl >dpkg.log 2>&1 || { cat dpkg.log; fail "dpkg --purge"; }
[ -e /var/lib/nibbl/bl.ip4set ] || fail "purging took the operator's data"
rm -r /var/lib/nibbl
changes >changes.txt
[ ! -s changes.txt ] || { cat changes.txt; fail "the machine is not as it was"; }
getent passwd nibbl >/dev/null || fail "the user of the files that stay is gone"
passwd --status nibbl | grep -q '^nibbl L' || fail "the user is not locked"
[ ! -e /run/nibbl ] && [ ! -e /var/log/nibbl ] || fail "directories are left"
say "passed"
