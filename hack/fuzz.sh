#!/usr/bin/env bash
# Runs every fuzz target of this module, one after the other, for FUZZTIME each. With `short` each
# runs for a second, from its seeds alone: that is what `make check` does, in a bounded time. It
# is not told then what the inputs cover: for that everything below would have to be built anew.
# What is found stands in the package's testdata/fuzz, and is a test from then on.
set -euo pipefail

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
fuzztime="${FUZZTIME:-10m}" minimize=1m cache="$(go env GOCACHE)/fuzz" covering=(-fuzz .)
if [[ "${1:-}" == short ]]; then
	fuzztime=1s minimize=5s cache="$work/cache" covering=()
fi

count=0 found=()
while read -r dir; do
	go test -c "${covering[@]}" -o "$work/fuzz.test" "./$dir"
	for target in $(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$dir"/*_test.go); do
		echo "== $dir $target ($fuzztime)"
		(cd "$dir" && "$work/fuzz.test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$fuzztime" \
			-test.fuzzminimizetime "$minimize" -test.fuzzcachedir "$cache/$dir" </dev/null) || found+=("$dir $target")
		count=$((count + 1))
	done
done < <(git grep -l --untracked '^func Fuzz' -- '*_test.go' | xargs -r -n1 dirname | sort -u)
echo "fuzzed $count targets"
if ((${#found[@]} > 0)); then
	printf 'failed: %s\n' "${found[@]}" >&2
	exit 1
fi
