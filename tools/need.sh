#!/bin/sh
# Usage: need.sh COMMAND...
# Takes each command from PATH; what is missing it installs where it may
# (Debian's packages, as root or through passwordless sudo), and else says what
# to install and fails.
set -eu

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

echo "Installing$packages"
# Unquoted: lists of words, or nothing. sudo drops the environment, so env sets it again.
# shellcheck disable=SC2086
{
	$as_root apt-get update -q || give_up
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $packages || give_up
}

for cmd in $missing; do
	have "$cmd" || give_up
done
