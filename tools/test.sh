#!/bin/sh
# Usage: test.sh MODULE...
# Vets and tests the modules with the race detector, for `make test`. It says what it
# is doing, for how many seconds it has been at it, and at the end again what failed.
set -u

begin=$(date +%s)
say() { echo "=== $* ($(($(date +%s) - begin))s)"; }

log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

failed=
for module in "$@"; do
	say "go vet in $module"
	go -C "$module" vet ./... || failed="$failed
vet in $module"
	say "go test -race in $module; a line a package when it is through"
	{
		# The package that takes longest goes first, or it would still run when all others
		# are through.
		first=
		[ ! -d "$module/engine/redisstore" ] || first=./engine/redisstore
		# shellcheck disable=SC2086
		CGO_ENABLED=1 go -C "$module" test -race -count=1 -timeout 30m $first ./...
		echo "$?" >"$log.status"
	} 2>&1 | tee "$log"
	[ "$(cat "$log.status")" -eq 0 ] || failed="$failed
$(grep -E '^(--- FAIL|FAIL|panic:|WARNING: DATA RACE)' "$log" || echo "go test in $module")"
	rm -f "$log.status"
done

if [ -n "$failed" ]; then
	say "FAILED:$failed"
	exit 1
fi
say "all tests passed"
