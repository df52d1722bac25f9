# Every target has a word of help after "##"; `make help` prints them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PREFIX  ?= /usr/local
DESTDIR ?=
GO      ?= go

PROGRAMS := $(sort $(patsubst cmd/%/main.go,%,$(wildcard cmd/*/main.go)))
COMMIT   := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
RELEASE  := $(shell git describe --tags --exact-match --match 'v[0-9]*' 2>/dev/null | sed 's/^v//')
VERSION  := github.com/code-on-incus/coi/pkg/cli/version
LDFLAGS  := -s -w -X $(VERSION).Commit=$(COMMIT) $(if $(RELEASE),-X $(VERSION).Number=$(RELEASE))

# A static program is the same on every distribution and cannot be steered by a
# loader's environment.
export CGO_ENABLED := 0

.PHONY: help setup build test e2e attack fuzz bench bench-docs score score-live detection-docs lint fmt docs install package clean-machine check clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make this machine ready for coi (root); DEV=1 adds what the tests need
	tools/setup $(if $(DEV),--dev)

build: ## all programs and the links of their verbs in ./bin
	@mkdir -p bin
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ $(PROGRAMS:%=./cmd/%)
	@$(GO) run ./tools/links bin

test: ## go vet and go test over the whole workspace
	$(GO) vet work
	$(GO) test work

e2e: build ## stories with a real Incus, real containers and a real agent
	$(GO) vet -tags e2e ./test/e2e/...
	$(GO) test -tags e2e -count=1 -timeout 60m $(if $(E2E_RUN),-run '$(E2E_RUN)') $(if $(E2E_SKIP),-skip '$(E2E_SKIP)') ./test/e2e/...

attack: build ## one attack per line of the threat register, on sessions and on the firewall in a lab (root)
	$(GO) vet -tags attack ./test/attack/...
	$(GO) test -tags attack -count=1 -timeout 85m $(if $(ATTACK_RUN),-run '$(ATTACK_RUN)') $(if $(ATTACK_SKIP),-skip '$(ATTACK_SKIP)') ./test/attack/...
	$(if $(ATTACK_RUN),,$(GO) test ./cmd/coi-netguard/internal/guard ./cmd/coi-netguard/internal/policy ./cmd/coi-netguard/internal/resolve)

fuzz: ## every fuzz target for FUZZTIME (default 3000x, that many inputs; 10s works too) each
	tools/fuzz $(or $(FUZZTIME),3000x)

bench: build ## run all benchmarks and print ratios; BENCH='audit netguard' for parts
	tools/bench $(BENCH)

bench-docs: build ## write docs/benchmarks.md from a run of all benchmarks
	tools/bench --page docs/benchmarks.md

score: build ## hit rates and false alarms over a labelled corpus: CORPUS=DIR (SIGMA=DIR adds a run with rule files)
	@test -n "$(CORPUS)" || { echo "usage: make score CORPUS=DIR"; exit 2; }
	bin/coi-watch replay --score $(if $(SIGMA),--sigma $(SIGMA),$(if $(wildcard $(CORPUS)/sigma*),--sigma $(firstword $(wildcard $(CORPUS)/sigma*)))) $(wildcard $(CORPUS)/*.jsonl)

detection-docs: build ## write docs/detection.md from a labelled corpus: CORPUS=DIR
	@test -n "$(CORPUS)" || { echo "usage: make detection-docs CORPUS=DIR"; exit 2; }
	bin/coi-watch replay --markdown $(if $(wildcard $(CORPUS)/sigma*),--sigma $(firstword $(wildcard $(CORPUS)/sigma*))) $(wildcard $(CORPUS)/*.jsonl) > docs/detection.md.new
	mv docs/detection.md.new docs/detection.md

score-live: build ## detection rates with real processes in real containers (root)
	$(GO) test -tags attack -count=1 -timeout 30m -run 'TestScoreLive' -v ./test/attack/...

lint: ## gofumpt, goimports, golangci-lint, shellcheck
	tools/lint

fmt: ## rewrite the sources as the linter wants them
	tools/lint --fix

docs: build ## man pages and completions into ./dist, docs/tools, all from the programs' own help
	tools/docs dist

install: build docs ## into DESTDIR/PREFIX (default /usr/local)
	DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' tools/install

package: build docs ## deb and rpm, SBOM and checksums in ./dist
	tools/package

check: lint build test e2e attack fuzz ## every check there is, as CI runs it

clean-machine: ## the README's first commands on clean Debian machines; CLEAN='--packages trixie' for parts, CLEAN=--cluster for two as a cluster (root)
	tools/clean-machine $(CLEAN)

clean: ## remove what the targets above made
	rm -rf bin dist .cache
