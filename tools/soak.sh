#!/bin/sh
# The long versions of the tests that use chance, and of the fuzz targets, for
# `make soak`. SOAK says how long each of the former goes on (10m if unset),
# FUZZTIME the same of the latter (60s). A failure prints the seed to repeat it
# with, or the file in testdata/fuzz that has the input. At the end it says how many
# inputs each target tried. Go's default is to spend up to a minute on making each
# interesting input smaller; the targets would stand still for most of the time.
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

tried=$(mktemp)
log=$(mktemp)
trap 'cat "$tried"; rm -f "$tried" "$log" "$log.failed"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# fuzz TARGET PACKAGE: one target a call is all that go test fuzzes.
fuzz() {
	echo "=== $1 ($2)"
	{ go test -run '^$' -fuzz "^$1\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 10x "$2" || touch "$log.failed"; } 2>&1 | tee "$log"
	[ ! -e "$log.failed" ] || exit 1
	# The last line of progress that is not of an empty interval has the rate.
	sed -nE 's/^fuzz: elapsed: ([0-9a-z]+), execs: ([0-9]+) .*/\1 \2/p' "$log" | tail -n 1 | {
		read -r elapsed execs
		echo "$1 tried $execs inputs in $elapsed" | tee -a "$tried"
	}
}

for package in $(go list ./...); do
	listed=$(go test -list '^Fuzz' "$package") # and a line that tells the time
	for target in $listed; do
		case $target in
		Fuzz*)
			fuzz "$target" "$package"
			;;
		esac
	done
done
