#!/usr/bin/env bash
# Runs every fuzz target of this module, one after the other, for FUZZTIME each. With `short` each
# runs for a second, from its seeds alone: that is what `make check` does, in a bounded time. What
# is found stands in the package's testdata/fuzz, and is a test from then on.
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
fuzztime="${FUZZTIME:-10m}" minimize=1m cache="$(go env GOCACHE)/fuzz"
if [[ "${1:-}" == short ]]; then
	fuzztime=1s minimize=5s cache="$work/cache"
fi

count=0
while read -r dir; do
	go test -c -fuzz . -o "$work/fuzz.test" "./$dir" # -fuzz has it tell what it covers
	for target in $(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$dir"/*_test.go); do
		echo "== $dir $target ($fuzztime)"
		(cd "$dir" && "$work/fuzz.test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$fuzztime" \
			-test.fuzzminimizetime "$minimize" -test.fuzzcachedir "$cache/$dir")
		count=$((count + 1))
	done
done < <(git grep -l --untracked '^func Fuzz' -- '*_test.go' | xargs -r -n1 dirname | sort -u)
echo "fuzzed $count targets"
