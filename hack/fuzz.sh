#!/usr/bin/env bash
# Runs every fuzz target of this module for FUZZTIME each, FUZZJOBS of them side by side. With
# `short` each runs for a second, from its seeds alone: that is what `make check` does, in a bounded
# time. It is not told then what the inputs cover: for that everything below would have to be built
# anew. What is found stands in the package's testdata/fuzz, and is a test from then on.
set -euo pipefail

# one runs a target, and prints what it said in one piece.
one() {
	local dir=$1 target=$2 test=$3 said
	if said="$(cd "$dir" && "$test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$FUZZTIME" -test.parallel "$workers" \
		-test.fuzzminimizetime "$minimize" -test.fuzzcachedir "$cache/$dir" 2>&1 </dev/null)" || over "$said"; then
		printf '== %s %s (%s): %s\n' "$dir" "$target" "$FUZZTIME" "$(grep '^fuzz:' <<<"$said" | tail -1)"
	else
		printf '== %s %s (%s) FAILED\n%s\n' "$dir" "$target" "$FUZZTIME" "$said"
		echo "$dir $target" >>"$work/failed"
	fi
}

# over: it only ended with its time, which go test now and then calls a failure, of the context.
over() {
	grep -q '^    context deadline exceeded$' <<<"$1" && ! grep -qE '_test\.go:|Failing input|panic|hung' <<<"$1"
}

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
FUZZTIME="${FUZZTIME:-10m}" minimize=1m cache="$(go env GOCACHE)/fuzz" covering=(-fuzz .)
if [[ "${1:-}" == short ]]; then
	FUZZTIME=1s minimize=5s cache="$work/cache" covering=()
fi
cores="$(getconf _NPROCESSORS_ONLN)"
jobs="${FUZZJOBS:-$cores}"
workers=$((cores > jobs ? cores / jobs : 1))
export FUZZTIME minimize cache work workers
export -f one over

while read -r dir; do
	test="$work/${dir//\//-}.test"
	go test -c "${covering[@]}" -o "$test" "./$dir"
	sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$dir"/*_test.go | sed "s|.*|$dir & $test|"
done < <(git grep -l --untracked '^func Fuzz' -- '*_test.go' | xargs -r -n1 dirname | sort -u) >"$work/targets"
xargs -r -P "$jobs" -L 1 bash -c 'one "$@"' one <"$work/targets"
echo "fuzzed $(wc -l <"$work/targets") targets"
if [[ -s "$work/failed" ]]; then
	sed 's/^/failed: /' "$work/failed" >&2
	exit 1
fi
