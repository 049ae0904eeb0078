#!/bin/sh
# The long versions of the tests that use chance, and of the fuzz targets, for
# `make soak`. SOAK says how long each of the former goes on (10m if unset),
# FUZZTIME the same of the latter (60s). A failure prints the seed to repeat it
# with, or the file in testdata/fuzz that has the input.
set -eu

SOAK=${SOAK:-10m}
FUZZTIME=${FUZZTIME:-60s}
export SOAK

# duration NAME VALUE: an hour of tests should not end with a typing mistake.
duration() {
	case $2 in
	[0-9]*[smh]) ;;
	*)
		echo "$1: \"$2\" is no duration; write for example $1=10m" >&2
		exit 2
		;;
	esac
}
duration SOAK "$SOAK"
duration FUZZTIME "$FUZZTIME"

CGO_ENABLED=1 go test -race -count=1 -timeout 6h -v ./engine/... ./internal/testkit/...
CGO_ENABLED=1 go -C caddytest test -race -count=1 -timeout 6h -v ./binary

for package in $(go list ./...); do
	listed=$(go test -list '^Fuzz' "$package") # and a line that tells the time
	for target in $listed; do
		case $target in
		Fuzz*)
			echo "=== $target ($package)"
			# One target a call is all that go test fuzzes.
			go test -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" "$package"
			;;
		esac
	done
done
