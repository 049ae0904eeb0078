# Caddy with this module, on Caddy's official images. Build it from the checkout:
#   make image
# and run it:
#   docker run --rm -p 8080:8080 -e REDIS_URL=redis://… caddy-redis-proxy

ARG CADDY_VERSION=2.11.9

FROM caddy:${CADDY_VERSION}-builder AS builder

# The commit of the checkout, which has no .git here. `make image` gives it.
ARG COMMIT=

WORKDIR /src
COPY . .

# From here on, the base image's own CADDY_VERSION hides the ARG of that name. It begins with
# a v, so the command below cuts a v off.
# XCADDY_SETCAP=0: the binary listens on high ports only. Without the file capability it also
# runs where all capabilities are dropped.
RUN --mount=type=cache,target=/go/pkg/mod \
	--mount=type=cache,target=/go/build-cache \
	GOCACHE=/go/build-cache \
	XCADDY_SETCAP=0 \
	CGO_ENABLED=0 \
	XCADDY_GO_BUILD_FLAGS="-trimpath -tags nobadger,nomysql,nopgx -ldflags \"-w -s -X github.com/redis-proxy/caddy-redis-proxy/internal/version.commit=${COMMIT}\"" \
	go tool -modfile=tools/go.mod xcaddy build "v${CADDY_VERSION#v}" \
	--with "github.com/redis-proxy/caddy-redis-proxy@v$(cat internal/version/VERSION)=." \
	--output ./caddy

FROM caddy:${CADDY_VERSION}

# Caddy's CA and its saved configuration live in /data and /config. A volume
# takes its owner over from here; a bind mount has to belong to 1000:1000.
RUN adduser -D -H -u 1000 caddy && chown -R 1000:1000 /data /config

COPY --from=builder /src/caddy /usr/bin/caddy
COPY --chmod=644 Caddyfile.example /etc/caddy/Caddyfile

# With a number, Kubernetes can tell that the user is not root.
USER 1000:1000

EXPOSE 8080 8443 8443/udp

# redis_proxy_health answers. Not /ready: Swarm replaces a container that is not healthy, which
# does not repair Redis.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
	CMD wget -q -Y off -O /dev/null http://127.0.0.1:8080/live || exit 1

CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
