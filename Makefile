# Plain POSIX make. `make` alone lists the targets.
.POSIX:
.PHONY: help tools web build demo test check bench fuzz proto

ARGS =
FUZZTIME = 10s

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## /  make \1	/' | expand -t 16

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

demo: build ## run the whole city on this machine; ARGS="--drivers 100 --for 60s" are passed on
	bin/ridehail demo $(ARGS)

check: tools ## format, vet, staticcheck, module files, house rules
	ci/check

test: tools web ## install what the tests need, then check and test everything
	ci/setup redis postgres chromium
	ci/check
	go build -race -o bin/ridehail-race ./cmd/ridehail
	RIDEHAIL_TEST_REQUIRE=1 RIDEHAIL_BIN="$$PWD/bin/ridehail-race" ci/with-services go test -race -timeout 20m ./...
	RIDEHAIL_SIM_SEEDS=1000 go test -run Simulated ./dispatch ./payments ./gateway
	RIDEHAIL_SIM_SEEDS=300 go test -run Simulated ./events ./internal/detector
	cd web && npm test

# One after another, each beside its yardstick in the same run: the ratios count. Leave the machine alone meanwhile.
bench: build ## measure what the README claims (quiet machine advised, about half an hour)
	ci/setup redis postgres
	RIDEHAIL_BIN="$$PWD/bin/ridehail" go test -run '^$$' -bench . -benchtime 1x -timeout 60m ./lab/latency
	go test -run '^$$' -bench Idle -benchtime 1x -timeout 30m ./gateway
	ci/with-services go test -run '^$$' -bench . -timeout 30m ./sharedstate
	ci/with-services go test -run '^$$' -bench . -timeout 30m ./store/postgres
	go test -run '^$$' -bench . -timeout 30m ./store/sqlite
	ci/with-services go test -run '^$$' -bench . -timeout 30m ./events
	go test -run '^$$' -bench . -timeout 30m ./routing
	if [ -f ../shared/data/monaco.osm.gz ]; then \
		go test -run '^$$' -bench . -benchtime 5x ./routing/extract && \
		bin/ridehail import ../shared/data/monaco.osm.gz -o bin/monaco.city && \
		RIDEHAIL_BENCH_CITY="$$PWD/bin/monaco.city" go test -run '^$$' -bench 'Route|Matrix|Contract' ./routing; \
	else echo 'no figures of Monaco: the shared data are absent (../shared/data/monaco.osm.gz)'; fi
	go test -run '^$$' -bench . -timeout 30m ./dispatch/matching
	go test -run '^$$' -bench . -benchtime 1x -timeout 30m ./lab/simulation

fuzz: tools ## fuzz every decoder and parser for FUZZTIME each
	@set -e; for package in $$(go list ./...); do \
		targets=$$(go test -list '^Fuzz' $$package); \
		for target in $$(echo "$$targets" | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
		done; \
	done

proto: tools ## regenerate the code of the .proto files (needs protoc)
	@command -v protoc >/dev/null || { echo "protoc is missing: sudo apt-get install protobuf-compiler" >&2; exit 3; }
	GOBIN="$$PWD/bin" go install google.golang.org/protobuf/cmd/protoc-gen-go connectrpc.com/connect/cmd/protoc-gen-connect-go
	PATH="$$PWD/bin:$$PATH" go generate ./wire ./routing/...
