#!/usr/bin/env bash
# Runs every fuzz target of this module, one after the other: `go test -fuzz` takes one at a time.
set -euo pipefail

fuzztime="${FUZZTIME:-10m}"
count=0
while read -r dir; do
	targets="$(go test -list '^Fuzz' "./$dir" | grep '^Fuzz' || true)"
	for target in $targets; do
		echo "== $dir $target ($fuzztime)"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$fuzztime" "./$dir"
		count=$((count + 1))
	done
done < <(git grep -l --untracked '^func Fuzz' -- '*_test.go' | xargs -r -n1 dirname | sort -u)
echo "fuzzed $count targets"
