#!/usr/bin/env bash
# Builds the committed source twice, in directories of different names, and compares the programs. Takes two release
# builds, so it is run by hand, before a release.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for name in one another/directory; do
    mkdir -p "$scratch/$name"
    git archive HEAD | tar -x -C "$scratch/$name"
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) "$scratch/$name/packaging/build-release" --bin nibbl
done
sha256sum "$scratch"/one/target/release/nibbl "$scratch"/another/directory/target/release/nibbl
cmp "$scratch/one/target/release/nibbl" "$scratch/another/directory/target/release/nibbl"
echo "the same"
