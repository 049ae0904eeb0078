#!/bin/sh
# Usage: app.sh start|stop
# Runs ./caddy in the background for `make app` and `make stop`. CI sets the APP_ variables
# to run the same steps with its own configuration.
set -eu

dir=$(pwd -P)
config=${APP_CONFIG:-Caddyfile.example}
url=${APP_URL:-https://localhost:8443}
dashboard=${APP_DASHBOARD:-http://localhost:2020/}
listen=${APP_LISTEN:-:8443 :8080 127.0.0.1:2020}
run=${APP_RUN:-$dir/.run}

pidfile=$run/caddy.pid
log=$run/caddy.log
probe=$run/probe
root=$run/data/caddy/pki/authorities/local/root.crt

# Caddy writes its CA and its last configuration into the checkout.
export XDG_DATA_HOME="$run/data" XDG_CONFIG_HOME="$run/config"

# The number in an old pid file may belong to another process now. Only a process with the
# arguments of launch() is ours. An ended process shows no arguments.
ours() {
	if [ -d /proc/self ]; then
		args=$(tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline") || return 1
	else
		args=$(ps -p "$1" -o args=) || return 1
	fi
	case $args in
	"$dir/caddy run --config $config "*) return 0 ;;
	*) return 1 ;;
	esac
}

running() {
	[ -s "$pidfile" ] && pid=$(cat "$pidfile") && ours "$pid" 2>/dev/null
}

# A checksum and not the URL, which may have a password.
redis_url_sum() {
	printf %s "${REDIS_URL-}" | cksum
}

changed() {
	[ -n "$(find caddy "$config" -newer "$pidfile")" ] ||
		[ "$(redis_url_sum)" != "$(cat "$run/redis_url.sum")" ]
}

launch() {
	# shellcheck disable=SC2086 # a list
	"$probe" free $listen "${CADDY_ADMIN:-localhost:2019}" || exit 1
	"$dir/caddy" run --config "$config" --adapter caddyfile </dev/null >"$log" 2>&1 &
	pid=$!
	echo "$pid" >"$pidfile"
	redis_url_sum >"$run/redis_url.sum"
}

await() {
	n=0
	until "$probe" get "$url/live" "$root" 2>"$run/probe.log"; do
		kill -0 "$pid" 2>/dev/null || fail "Caddy did not start"
		n=$((n + 1))
		[ "$n" -lt 60 ] || fail "Caddy does not answer: $(cat "$run/probe.log")"
		sleep 0.5
	done
}

fail() {
	echo "$1. The end of ${log#"$dir/"}:" >&2
	tail -n 20 "$log" >&2
	if running; then terminate; fi
	rm -f "$pidfile"
	exit 1
}

terminate() {
	kill "$pid" || exit 1
	n=0
	while ours "$pid" 2>/dev/null; do
		n=$((n + 1))
		if [ "$n" -ge 60 ]; then
			echo "Caddy (pid $pid) was told to stop 30 seconds ago and still runs; see ${log#"$dir/"}" >&2
			exit 1
		fi
		sleep 0.5
	done
	rm -f "$pidfile"
}

start() {
	mkdir -p "$run"
	CGO_ENABLED=0 go -C tools build -trimpath -o "$probe" ./probe
	umask 077 # the log and the saved configuration may show REDIS_URL

	if ! running; then
		launch
		await
		echo "Caddy is running (pid $pid, log ${log#"$dir/"})."
	elif changed; then
		terminate
		launch
		await
		echo "Caddy was running and has been restarted, since its build, $config or REDIS_URL changed (pid $pid, log ${log#"$dir/"})."
	else
		await
		echo "Caddy is running already (pid $pid, log ${log#"$dir/"})."
	fi

	cat <<-END

		Type next:

		  alias c='curl -s --cacert ${root#"$dir/"}'
		  c -i $url/cache/hello -d value=world
		  c -i $url/cache/hello

		See it in the dashboard, $dashboard , while you fill it, read, and evict:

		  seq 10000 | sed 's/.*/{"key":"&","value":&}/' | c -H 'Content-Type: application/x-ndjson' --data-binary @- $url/cache | tail -n 1
		  c -w '\\n' '$url/cache/[1-500]' | tail -n 1
		  seq 10001 11000 | sed 's/.*/{"key":"&","value":&}/' | c -H 'Content-Type: application/x-ndjson' --data-binary @- $url/cache | tail -n 1

		make stop ends it.
	END
}

stop() {
	if running; then
		terminate
		echo "Caddy is stopped."
	else
		rm -f "$pidfile"
		echo "Caddy is not running."
	fi
}

case ${1-} in
start | stop) "$1" ;;
*)
	echo "usage: app.sh start|stop" >&2
	exit 2
	;;
esac
