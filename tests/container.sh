#!/usr/bin/env bash
# What can be said of the container image without a container engine: the files that the Containerfile copies
# are there, and the program, linked statically and alone in a directory, serves as its ENTRYPOINT and CMD say. As
# root, for chroot. Arguments are cargo's: `--release` for the program that the image has.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PATH:/usr/sbin:/sbin

fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

file=packaging/Containerfile
sed -n 's/^COPY \([^-]\)/\1/p' "$file" | while read -r sources; do
    set -- $sources
    while [ $# -gt 1 ]; do
        [ -e "$1" ] || fail "$file copies $1, which is not there"
        shift
    done
done
# The source names files outside of src, too; all that it includes has to be copied.
grep -rhoP 'include_str!\("\K[^"]*(?=")' src | grep -o '\.\./[a-z][^"]*' | grep -v '^../\.\.' | sort -u |
    while read -r included; do
        top=$(printf '%s' "$included" | sed 's|^\(\.\./\)*||; s|/.*||')
        [ -e "src/$top" ] || grep -q "^COPY.*\b$top\b" "$file" || fail "$file does not copy $top, which src includes"
    done

packaging/build-static "$@"
profile=debug
[ "${1:-}" != --release ] || profile=release
root=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; rm -rf "$root"' EXIT
mkdir -p "$root/srv/nibbl"
cp "target/static/$profile/nibbl" "$root/nibbl"
cp zones/* "$root/srv/nibbl/"
port=$((20000 + RANDOM % 10000))
sed -i "s/^listen = .*/listen = [\"127.0.0.1:$port\"]\ncontrol = false/" "$root/srv/nibbl/nibbl.toml"
chmod -R a+rX "$root"
command=$(sed -n 's/^\(ENTRYPOINT\|CMD\) \[\(.*\)\]$/\2/p' "$file" | tr -d '",' | tr '\n' ' ')
user=$(sed -n 's/^USER //p' "$file")
# shellcheck disable=SC2086
NIBBL_LOG=plain chroot --userspec="$user" "$root" $command >"$root/log" 2>&1 &
server=$!
for _ in $(seq 300); do
    grep -q 'nibbl: ready' "$root/log" && break
    kill -0 "$server" 2>/dev/null || { cat "$root/log"; fail "it ended"; }
    sleep 0.1
done
answer=$(dig "@127.0.0.1" -p "$port" +short +tries=1 A 1.2.0.192.bl.example)
[ "$answer" = 127.0.0.2 ] || { cat "$root/log"; fail "the answer is '$answer'"; }
kill "$server"
wait "$server" || fail "it ended with $?"
printf 'passed: %s octets, no library\n' "$(stat -c %s "$root/nibbl")"
