#!/bin/sh
# Usage: test-image.sh
# Builds the image, and runs the Compose file of docs/docker.md with it, for `make test-image`.
# It needs a Docker engine with Compose that can pull the base images, or has them. Without an
# engine it says so, and passes.
set -eu

skip() {
	echo "test-image: skipped: $*"
	exit 0
}

docker version >/dev/null 2>&1 || skip "no Docker engine answers here"
docker compose version >/dev/null 2>&1 || skip "this docker has no Compose"

page=docs/docker.md
project=caddy-redis-proxy-test-$$
network=${project}_default
second=$project-second
dir=$(mktemp -d)
mkdir "$dir/conf"
answer=$dir/answer

compose() { docker compose --project-name "$project" --project-directory "$dir" --file "$dir/compose.yaml" "$@"; }

cleanup() {
	# A second Ctrl-C does not leave half of it behind.
	trap '' INT TERM
	docker rm --force "$second" >/dev/null 2>&1 || true
	# An app that is interrupted may still be there, and keeps the network. Compose removes it only
	# with both: the profile, and --remove-orphans.
	compose --profile app down --volumes --remove-orphans >/dev/null 2>&1 || true
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
	{
		compose logs --tail 20 || true
		echo "test-image: FAILED: $*"
	} >&2
	exit 1
}

ok() { echo "test-image: ok: $*"; }

# file NAME: the file that the page shows under this name.
file() {
	awk -v name="file=$1" '/^```/ { inside = !inside && $2 == name; next } inside' "$page" >"$dir/$1"
	[ -s "$dir/$1" ] || fail "$page shows no $1"
}

# want TEXT COMMAND...: the command prints the text.
want() {
	text=$1
	shift
	"$@" >"$answer" 2>&1 || fail "$*: $(cat "$answer")"
	grep -qF -- "$text" "$answer" || fail "$*: want $text, got: $(cat "$answer")"
}

# await TEXT COMMAND...: the command prints the text within a minute.
await() {
	text=$1
	shift
	tries=0
	until "$@" >"$answer" 2>&1 && grep -qF -- "$text" "$answer"; do
		tries=$((tries + 1))
		[ "$tries" -lt 120 ] || fail "$*: want $text, got: $(cat "$answer")"
		sleep 0.5
	done
}

# app ARGUMENT...: the curl of the service that stands for an application.
# Without its dependencies, which it would start.
app() { compose run --rm --no-deps app -sS "$@"; }

inside() { compose exec -T cache "$@"; }

make image
want "caddy-redis-proxy $(cat internal/version/VERSION)" docker run --rm caddy-redis-proxy caddy redis-proxy version
ok "the image has this version"

file compose.yaml
file conf/Caddyfile
# On a free port, whatever the machine runs on that of the page.
sed 's/"127.0.0.1:8443:/"127.0.0.1::/' "$dir/compose.yaml" >"$dir/ports" && mv "$dir/ports" "$dir/compose.yaml"
chmod -R a+rX "$dir/conf"

compose up --detach --wait --wait-timeout 120 >"$answer" 2>&1 || fail "compose up --wait: $(cat "$answer")"
want healthy docker inspect --format '{{.State.Health.Status}}' "$(compose ps --quiet cache)"
ok "compose up --wait: every container is healthy"

want "uid=1000" inside id
want "CapEff:	0000000000000000" inside cat /proc/1/status
if inside touch /written 2>/dev/null; then fail "the root file system can be written to"; fi
ok "it runs as user 1000, without capabilities, on a read-only file system"

want 201 app -w '%{http_code}' -d value=world http://cache:8080/cache/hello
want '{"key":"hello","value":"world"}' compose run --rm app
want world compose exec -T redis redis-cli hget '{cache}:values' hello
want caddy_redis_proxy_requests_total app http://cache:8080/metrics
ok "an app reaches http://cache:8080, the value is in Redis, and there are metrics"

inside cat /data/caddy/pki/authorities/local/root.crt >"$dir/root.crt"
go -C tools run ./probe get "https://localhost:$(compose port cache 8443 | sed 's/.*://')/cache/hello" "$dir/root.crt" ||
	fail "no answer over HTTPS"
ok "the machine reaches it over HTTPS"

want '"max_keys":100000' inside wget -q -Y off -O - http://localhost:2019/redis_proxy/caches
# As editors do: another file takes the place of the old one.
sed 's/max_keys 100000/max_keys 77777/' "$dir/conf/Caddyfile" >"$dir/conf/changed"
chmod a+r "$dir/conf/changed"
mv "$dir/conf/changed" "$dir/conf/Caddyfile"
inside caddy reload --config /etc/caddy/Caddyfile >"$answer" 2>&1 || fail "caddy reload: $(cat "$answer")"
want '"max_keys":77777' inside wget -q -Y off -O - http://localhost:2019/redis_proxy/caches
ok "a reload takes the changed Caddyfile"

# One more node, on another host of the network.
docker run --detach --name "$second" --network "$network" --read-only --cap-drop ALL \
	--tmpfs /data:uid=1000 --tmpfs /config:uid=1000 \
	--env REDIS_URL=redis://redis:6379/0 --volume "$dir/conf:/etc/caddy:ro" \
	caddy-redis-proxy >"$answer" 2>&1 || fail "a second node: $(cat "$answer")"
await world app "http://$second:8080/cache/hello?raw"
want 201 app -w '%{http_code}' -d value=two "http://$second:8080/cache/second"
want two app "http://cache:8080/cache/second?raw"
await '"count":2' inside wget -q -Y off -O - http://localhost:2019/redis_proxy/caches
ok "a second node has the same values, and both subscribe to changes"

started() { docker inspect --format '{{.State.StartedAt}}' "$(compose ps --quiet cache)"; }
before=$(started)
compose stop redis >"$answer" 2>&1 || fail "compose stop redis: $(cat "$answer")"
want 503 app -w '%{http_code}' http://cache:8080/cache/other
want 503 app -w '%{http_code}' http://cache:8080/ready
want '"live":true' app http://cache:8080/live
compose start redis >"$answer" 2>&1 || fail "compose start redis: $(cat "$answer")"
await world app "http://cache:8080/cache/hello?raw"
[ "$(started)" = "$before" ] || fail "the cache was restarted while Redis was away"
ok "without Redis it answers 503, and is not restarted; with Redis it goes on"

compose stop cache >"$answer" 2>&1 || fail "compose stop cache: $(cat "$answer")"
code=$(docker inspect --format '{{.State.ExitCode}}' "$(compose ps --all --quiet cache)")
[ "$code" = 0 ] || fail "the cache was told to stop, and ended with $code"
compose up --detach --wait --wait-timeout 120 >"$answer" 2>&1 || fail "compose up again: $(cat "$answer")"
want world app "http://cache:8080/cache/hello?raw"
ok "it stops by itself when told, and the values outlive it"
