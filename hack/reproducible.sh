#!/usr/bin/env bash
# reproducible.sh BINARY... builds each twice, with make, and fails unless the bytes are equal: here, and from a copy
# of the tracked files in another folder without git, with another home, time zone and umask, and with caches of its
# own that begin empty. The modules come from this machine's module cache, and go.sum is checked again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version="${VERSION:-reproducible}"
make --no-print-directory "$@" VERSION="$version"

other="$(mktemp -d)"
trap 'chmod -R u+w "$other" && rm -rf "$other"' EXIT
mkdir "$other/home" "$other/source"
git ls-files -z | tar --null --files-from=- -c | tar -x -C "$other/source"

modules="$(go env GOMODCACHE)/cache/download"
(
	umask 077
	unset GOFLAGS GOPATH MAKEFLAGS
	export HOME="$other/home" TZ=Asia/Kathmandu LC_ALL=C TMPDIR="$other"
	export GOCACHE="$other/cache" GOMODCACHE="$other/modules" GOPROXY="file://$modules" GOSUMDB=off
	make --no-print-directory -C "$other/source" "$@" VERSION="$version"
)
for binary in "$@"; do
	cmp "$binary" "$other/source/$binary"
	sha256sum "$binary"
done
