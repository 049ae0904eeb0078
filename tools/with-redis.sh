#!/bin/sh
# Usage: with-redis.sh [COMMAND...]
# Runs COMMAND on the server that REDIS_SERVER names, or else on the redis-server of PATH.
# Without a COMMAND it says which server that is. Tests and the examples of the docs call
# redis-server by this name, so a link of this name goes to the front of PATH. redis-cli
# stays the one of PATH.
set -eu

server=${REDIS_SERVER:-redis-server}

fail() {
	echo "REDIS_SERVER: $*" >&2
	exit 2
}

path=$(command -v "$server") || fail "there is no program $server; write the path of a redis-server or valkey-server"
case $path in
/*) ;;
*) path=$PWD/$path ;;
esac
version=$("$path" --version </dev/null 2>&1 | sed -nE 's/^([A-Za-z]+) server v=([^ ]+) .*/\1 \2/p')
[ -n "$version" ] || fail "$path is no Redis: its --version tells none"

if [ $# -eq 0 ]; then
	echo "=== tests run on $version, $path"
	exit
fi

[ -n "${REDIS_SERVER-}" ] || exec "$@"

# The folder has another name each time. So Go repeats no result of another server.
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
ln -s "$path" "$dir/redis-server"
PATH=$dir:$PATH "$@"
