#!/bin/sh
# Usage: need.sh COMMAND...
# Checks that each command is on PATH. It installs missing ones if it may (Debian's packages,
# as root or with passwordless sudo). Otherwise it says what to install, and fails.
set -eu

# How many seconds to wait for another apt.
patience=600

# have COMMAND: reports whether it is there. Some have several names. python3-requests is a
# library, and any python3 may have it.
have() {
	case $1 in
	chromium) set -- chromium chromium-browser google-chrome ;;
	node) set -- node nodejs ;;
	python3-requests)
		for name in python3 /usr/bin/python3; do
			! "$name" -c 'import requests' 2>/dev/null || return 0
		done
		return 1
		;;
	esac
	for name in "$@"; do
		! command -v "$name" >/dev/null || return 0
	done
	return 1
}

missing=
for cmd in "$@"; do
	have "$cmd" || missing="$missing $cmd"
done
[ -n "$missing" ] || exit 0

packages=
for cmd in $missing; do
	case $cmd in
	gcc) packages="$packages gcc libc6-dev" ;; # cgo needs libc's headers too
	curl) packages="$packages curl ca-certificates" ;;
	node) packages="$packages nodejs" ;;
	*) packages="$packages $cmd" ;;
	esac
done

give_up() {
	{
		[ -z "${1-}" ] || echo "$1"
		echo "Missing:$missing"
		echo "Install what is missing and run this again, for example:"
		echo "  Debian, Ubuntu:  sudo apt-get update && sudo apt-get install$packages"
		echo "  other systems:   their packages of the same names (redis-server comes with 'redis', gcc with the C library's headers; python3-requests is requests for Python)"
	} >&2
	exit 1
}

if ! command -v apt-get >/dev/null; then
	give_up
elif [ "$(id -u)" -eq 0 ]; then
	as_root=
elif sudo -n true 2>/dev/null; then
	as_root=sudo
else
	give_up
fi

errors=$(mktemp)
trap 'rm -f "$errors"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# apt ARGUMENTS...: runs apt-get, and waits for another one that holds a lock. apt-get's own
# option waits silently, and for one of three locks only. sudo drops the environment, so env
# sets it again.
apt() {
	waited=0
	# shellcheck disable=SC2086 # nothing, or a word
	until $as_root env LC_ALL=C DEBIAN_FRONTEND=noninteractive \
		apt-get -q -o DPkg::Lock::Timeout=5 "$@" 2>"$errors"; do
		if ! grep -q 'Could not get lock' "$errors" || [ "$waited" -ge "$patience" ]; then
			cat "$errors" >&2
			return 1
		fi
		[ "$waited" -gt 0 ] || echo "Waiting for another apt to end, $patience seconds at most: $(grep -m 1 'Could not get lock' "$errors")"
		sleep 5
		waited=$((waited + 5))
	done
}

echo "Installing$packages"
# The present package lists may be enough. If they lack a package, or name a version that is
# gone, they need an update. The variable is a list, so it is unquoted.
# shellcheck disable=SC2086
if ! apt install -y --no-install-recommends $packages 2>/dev/null; then
	apt update || give_up "apt-get update failed."
	apt install -y --no-install-recommends $packages || give_up "apt-get install failed."
fi

for cmd in $missing; do
	have "$cmd" || give_up
done
