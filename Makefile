# Go 1.26 and make are all it takes to build. The other targets also need some of
# redis-server, gcc, chromium, node, Python's requests and wrk, and install them where they may.

MODULE        := github.com/redis-proxy/caddy-redis-proxy
CADDY_VERSION := $(shell awk '$$1 == "github.com/caddyserver/caddy/v2" { print $$2 }' go.mod)
TOOL          := go tool -modfile="$(CURDIR)/tools/go.mod"

# Tests and benchmarks that need large libraries have go.mods of their own. So the module does
# not bring these libraries into every Caddy.
TESTED := . bench caddytest
LINTED := $(TESTED) tools

# An empty REDIS_URL would leave `store` in Caddyfile.example without its argument.
ifeq ($(strip $(REDIS_URL)),)
unexport REDIS_URL
endif

# A build must not fail without git, or in a checkout that git distrusts.
export GOFLAGS := $(GOFLAGS) -buildvcs=false

# A workspace around the checkout would change the build, and forbids -modfile.
export GOWORK := off

# The version is in the file; the commit is empty without git, or in a checkout that git
# distrusts. Files that git does not know are compiled in too, so they make it dirty.
VERSION := $(shell cat internal/version/VERSION)
COMMIT  := $(shell [ -e .git ] && commit=$$(git rev-parse --short=12 HEAD 2>/dev/null) && \
	echo $$commit$$([ -z "$$(git --no-optional-locks status --porcelain)" ] || echo -dirty))

# xcaddy's own flags, which these replace, and the commit.
BUILD_FLAGS = -trimpath -tags nobadger,nomysql,nopgx -ldflags "-w -s -X $(MODULE)/internal/version.commit=$(COMMIT)"

# The module is not published. The go command asks the network for it all the same. With the
# version behind the @ it takes the checkout, whatever the answer is, and if there is none.
BUILD = CGO_ENABLED=0 XCADDY_GO_BUILD_FLAGS='$(BUILD_FLAGS)' \
	$(TOOL) xcaddy build $(CADDY_VERSION) --with $(MODULE)@v$(VERSION)=. --output ./caddy

SOURCES := Makefile go.mod go.sum tools/go.mod internal/version/VERSION \
	$(shell find . \( -path './.*' -o -path ./caddytest -o -path ./internal/testkit -o -path ./bench -o -path ./tools \) -prune \
		-o \( -name '*.go' ! -name '*_test.go' -o -name '*.lua' -o -path './internal/admin/dashboard/*' \) -print)

.PHONY: always help build app stop redis check test soak lint bench bench-quick hitratio screenshots image test-image clean

help: ## Show this list.
	@awk -F ': .*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

# It is written only if the commit has changed. Then ./caddy is linked anew.
.run/commit: always
	@mkdir -p .run
	@[ -e $@ ] && [ "$$(cat $@)" = "$(COMMIT)" ] || echo "$(COMMIT)" >$@

build: .run/commit ## Build ./caddy, a Caddy with this module in it.
	$(BUILD)

caddy: $(SOURCES) .run/commit
	$(BUILD)

app: caddy ## Build if needed, run Caddyfile.example in the background, say what to type next.
	@sh tools/app.sh start

stop: ## Stop what `make app` started, and only that.
	@sh tools/app.sh stop

# A wrong REDIS_SERVER must be an error before anything is built.
redis:
	@sh tools/need.sh redis-server
	@sh tools/with-redis.sh

check: redis ## Build, vet, run the quick tests: in less than a minute, once Go's build cache is warm.
	@sh tools/with-redis.sh sh tools/check.sh $(TESTED)

test: redis caddy ## Run every test, with the race detector on and against a real Redis (REDIS_SERVER).
	@sh tools/need.sh gcc chromium node python3-requests
	@sh tools/with-redis.sh sh tools/test.sh $(TESTED)

soak: redis caddy ## Run what uses chance for long: SOAK (10m) of tests, 60 s a fuzz target.
	@sh tools/need.sh gcc
	@sh tools/with-redis.sh sh tools/soak.sh

lint: ## Check format, go.mod, vet, staticcheck and known vulnerabilities.
	@files=$$($(TOOL) gofumpt -l .) || exit; \
		[ -z "$$files" ] || { echo "gofumpt: not formatted:" $$files >&2; exit 1; }
	@for module in $(LINTED); do \
		(cd "$$module" && go mod tidy -diff && go vet ./... && $(TOOL) staticcheck ./...) || { echo "in $$module" >&2; exit 1; }; \
	done
	@if command -v shellcheck >/dev/null; then shellcheck .ci/run .ci/smoke tools/*.sh; fi
	@sh tools/vuln.sh $(LINTED)

bench: caddy ## Measure what it costs, in four to six minutes, with FLAGS; see docs/performance.md.
	@sh tools/need.sh redis-server wrk
	@go -C bench build -o ../.run/bench .
	@.run/bench $(FLAGS)

bench-quick: caddy ## The same in about half a minute, for a first look.
	@sh tools/need.sh redis-server wrk
	@go -C bench build -o ../.run/bench .
	@.run/bench -quick $(FLAGS)

hitratio: ## Compare the eviction policies, on TRACES (files, folders) of yours; see docs/eviction.md.
	@sh tools/need.sh redis-server
	@go -C bench build -o ../.run/hitratio ./hitratio
	@.run/hitratio $(FLAGS) $(TRACES)

screenshots: caddy ## Take the pictures of docs/dashboard.md anew, after ten minutes of load.
	@sh tools/need.sh redis-server chromium
	@go -C caddytest build -o ../.run/screenshots ./screenshots
	@.run/screenshots $(FLAGS)

image: ## Build the container image (needs Docker).
	@command -v docker >/dev/null || { echo "make image needs Docker: https://docs.docker.com/engine/install/" >&2; exit 1; }
	DOCKER_BUILDKIT=1 docker build -f xcaddy.Dockerfile --build-arg CADDY_VERSION=$(CADDY_VERSION:v%=%) --build-arg COMMIT=$(COMMIT) -t caddy-redis-proxy .

test-image: ## Build the image, and run docs/docker.md with it (skipped without a Docker engine).
	@sh tools/test-image.sh

clean: stop ## Stop, and remove everything that was built or written.
	rm -rf caddy .run
