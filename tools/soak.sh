#!/bin/sh
# The long versions of the tests that use chance, and of the fuzz targets, for
# `make soak`. SOAK says how long each of the former goes on (10m if unset),
# FUZZTIME the same of the latter (60s). A failure prints the seed to repeat it
# with, or the file in testdata/fuzz that has the input.
set -eu

SOAK=${SOAK:-10m}
export SOAK

CGO_ENABLED=1 go test -race -count=1 -timeout 6h -v ./engine/... ./caddytest/binary

for package in $(go list ./...); do
	listed=$(go test -list '^Fuzz' "$package") # and a line that tells the time
	for target in $listed; do
		case $target in
		Fuzz*)
			echo "=== $target ($package)"
			# One target a call is all that go test fuzzes.
			go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-60s}" "$package"
			;;
		esac
	done
done
