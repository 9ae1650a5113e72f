SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
VERSION     := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
TESTFLAGS   ?=
FUZZTIME    ?= 60s
TOOL        := go tool -modfile=.tools/go.mod

.PHONY: build ready demo test lint fuzz bench golden clean

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/av ./cmd/av

# a machine that can run the demo and the tests
ready:
	@scripts/setup

demo: ready build
	go run ./scripts/demo

# never from the cache: what is tested is this machine's Docker and kernel too
test: ready
	go test -count=1 -timeout 60m $(TESTFLAGS) ./...

lint:
	@test -z "$$(gofmt -l . | tee /dev/stderr)" || { echo 'lint: run gofmt -w on these'; exit 1; }
	go vet ./...
	$(TOOL) staticcheck ./...
	scripts/vulncheck
	scripts/shellcheck

# every fuzz target for FUZZTIME, and every golden file anew; both are found, so none can be forgotten
fuzz:
	scripts/list-tests '^Fuzz' | while read -r package name; do \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$package" </dev/null; done

golden:
	scripts/list-tests Golden | cut -d ' ' -f 1 | uniq | while read -r package; do \
		go test -count=1 -run Golden "$$package" -update </dev/null; done

bench: ready build
	go test -run '^$$' -bench . -benchmem -timeout 30m ./...

clean:
	rm -rf bin
