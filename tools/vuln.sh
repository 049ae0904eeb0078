#!/bin/sh
# Usage: vuln.sh FOLDER...
# Runs govulncheck on the modules in the folders. An unreachable database is no failure; all
# other failures are.
set -eu

tools=$(pwd -P)/tools/go.mod
out=$(mktemp)
trap 'rm -f "$out"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

for module in "$@"; do
	if go -C "$module" tool -modfile="$tools" govulncheck ./... >"$out" 2>&1; then
		echo "govulncheck: $module: $(cat "$out")"
	elif grep -q '^govulncheck: fetching vulnerabilities:' "$out"; then
		echo "govulncheck: $module: skipped: database not reachable"
	else
		cat "$out" >&2
		exit 1
	fi
done
