#!/bin/sh
# Usage: need.sh COMMAND...
# Takes each command from PATH; what is missing it installs where it may
# (Debian's packages, as root or through passwordless sudo), and else says what
# to install and fails.
set -eu

# For how many seconds another apt is waited for.
patience=600

# have COMMAND: a browser may have other names.
have() {
	[ "$1" != chromium ] || set -- chromium chromium-browser google-chrome
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
	*) packages="$packages $cmd" ;;
	esac
done

give_up() {
	{
		[ -z "${1-}" ] || echo "$1"
		echo "Not on PATH:$missing"
		echo "Install what is missing and run this again, for example:"
		echo "  Debian, Ubuntu:  sudo apt-get update && sudo apt-get install$packages"
		echo "  other systems:   their packages of the same names (redis-server comes with 'redis', gcc with the C library's headers)"
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

# apt ARGUMENTS...: apt-get, after another one that holds a lock. Its own option
# waits without a word, and for one of the three locks only. sudo drops the
# environment, so env sets it again.
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
# The package lists that are there may do; what they lack, or name a version of
# that is gone, needs new ones. Unquoted: a list.
# shellcheck disable=SC2086
if ! apt install -y --no-install-recommends $packages 2>/dev/null; then
	apt update || give_up "apt-get update failed."
	apt install -y --no-install-recommends $packages || give_up "apt-get install failed."
fi

for cmd in $missing; do
	have "$cmd" || give_up
done
