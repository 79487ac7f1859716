# Plain POSIX make. `make` alone lists the targets.
.POSIX:
.PHONY: help tools web build lab-broken demo test check bench fuzz lab-loaded proto

ARGS =
BENCH =
FUZZTIME = 10s

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1	/' | expand -t 20

tools:
	@missing=; for tool in go node npm bash; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	[ -z "$$missing" ] || { echo "missing:$$missing. Install Go 1.26 (https://go.dev/dl), Node.js 20 or newer with npm," \
	"and bash (Debian: sudo apt-get install nodejs npm bash)." >&2; exit 3; }
	@ci/setup cc

web: tools web/lib/maplibre-gl.mjs ## fetch the page's libraries, which the binary embeds

web/lib/maplibre-gl.mjs: web/package-lock.json
	@echo "1/3 the page's map library: 6 MB from the npm registry, once"
	@sh web/fetch-libs.sh
	@touch $@

build: tools web ## build bin/ridehail
	@ci/build

lab-broken: build ## build bin/ridehail-broken, which has the planted bugs of ridehail lab break
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && echo "planting the bugs of lab/planted/overlay/bugs.go, and compiling" && \
	go run ./lab/planted/build "$$dir" && go build -tags labbroken -overlay "$$dir/overlay.json" -o bin/ridehail-broken ./cmd/ridehail
	@bin/ridehail-broken lab break

demo: build ## run the whole city on this machine; ARGS="--drivers 100 --for 60s" are passed on
	bin/ridehail demo $(ARGS)

check: tools ## format, vet, staticcheck, module files, house rules
	ci/check

test: tools web ## install what the tests need, then check and test everything
	ci/setup redis postgres pgbouncer chromium
	ci/check
	go build -race -o bin/ridehail-race ./cmd/ridehail
# Many tests wait for a node or a clock, so three packages at a time keep two cores busy.
	RIDEHAIL_TEST_REQUIRE=1 RIDEHAIL_BIN="$$PWD/bin/ridehail-race" ci/with-services go test -race -timeout 20m -p 3 ./...
	RIDEHAIL_SIM_SEEDS=1000 go test -run Simulated ./dispatch ./payments ./gateway
	RIDEHAIL_SIM_SEEDS=300 go test -run Simulated ./events ./internal/detector
	cd web && npm test
	cd web && npm run types
	RIDEHAIL_BIN="$$PWD/bin/ridehail-race" ci/with-services ci/bench --tiny
	ci/fuzz 1s
	ci/build
	bin/ridehail lab all --check

# One after another, each beside its yardstick in the same run: the ratios count. Leave the machine alone meanwhile.
bench: build ## measure what the README claims (quiet machine, about half an hour); BENCH="./sharedstate" for some folders
	ci/setup redis postgres pgbouncer
	RIDEHAIL_BIN="$$PWD/bin/ridehail" ci/with-services ci/bench $(BENCH)

fuzz: tools ## fuzz every decoder and parser for FUZZTIME=10s each
	ci/fuzz $(FUZZTIME)

lab-loaded: tools web ## how often each claim of the lab holds on a busy machine; ARGS=20 for twenty runs
	ci/lab-loaded $(ARGS)

proto: tools ## regenerate the code of the .proto files (needs protoc)
	@command -v protoc >/dev/null || { echo "protoc is missing: sudo apt-get install protobuf-compiler" >&2; exit 3; }
	GOBIN="$$PWD/bin" go install google.golang.org/protobuf/cmd/protoc-gen-go connectrpc.com/connect/cmd/protoc-gen-connect-go
	PATH="$$PWD/bin:$$PATH" go generate ./wire ./routing/...
