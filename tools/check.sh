#!/bin/sh
# Usage: check.sh MODULE...
# Builds and vets the modules, and runs the quick tests of the first one, for `make
# check`: those that need neither a browser nor the built Caddy, and kill no process.
# It says what it is doing, and for how many seconds it has been at it.
set -eu

begin=$(date +%s)
say() { echo "=== $* ($(($(date +%s) - begin))s)"; }

for module in "$@"; do
	say "go build and go vet in $module"
	go -C "$module" build ./...
	go -C "$module" vet ./...
done

# The others start, stop and cut off processes all the time.
slow='/engine/redisstore$|/internal/command$|/internal/testkit/faultproxy$'
say "go test in $1, without the race detector"
# shellcheck disable=SC2046
go -C "$1" test $(go -C "$1" list ./... | grep -vE "$slow")
say "passed; not run: $(echo "$slow" | tr -d '\\$' | tr '|' ' '), bench, caddytest. make test runs all, with the race detector"
