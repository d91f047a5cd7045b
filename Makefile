# Vedette's commands. `make run` and `make test` need nothing but a Debian or Ubuntu machine.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export VEDETTE_CACHE ?= $(HOME)/.cache/vedette
export CARGO_TARGET_DIR ?= $(VEDETTE_CACHE)/target
export PATH := $(HOME)/.cargo/bin:$(VEDETTE_CACHE)/tools/node/bin:$(PATH)
export ROCKSDB_STATIC := 1
ifeq ($(shell uname -m),aarch64)
# Pages of 64 KiB at most: an allocator that was built for those of 4 KiB aborts where they are larger.
export JEMALLOC_SYS_WITH_LG_PAGE := 16
endif

# Every cargo call links the RocksDB that was compiled once.
CARGO := ROCKSDB_LIB_DIR="$$(.ci/rocksdb.sh)" cargo
RELEASE := $(CARGO_TARGET_DIR)/release

# Runs of ours beside the peers: `make bench-scrape ARGS=--full`.
SUITES := scrape memory disk recovery restart remote-write idle queries

.PHONY: help run build test soak fuzz bench lint ui setup setup-test setup-bench bench-programs clean $(SUITES:%=bench-%)

help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup:
	@.ci/setup.sh build

setup-bench:
	@.ci/setup.sh bench

setup-test:
	@.ci/setup.sh test
	@.ci/ui-driver.sh

ui: setup ## the web UI, compiled into both binaries
	@.ci/ui.sh

build: setup ui ## both binaries, optimised
	@$(CARGO) build --locked --release --bin vedette-agent --bin vedette-federation
	@ls -l $(RELEASE)/vedette-agent $(RELEASE)/vedette-federation

run: build ## an agent on this host, two replicas, a witness, rules, alerts, UI; Ctrl-C stops all of it
	@exec $(RELEASE)/vedette-federation demo --agent $(RELEASE)/vedette-agent --dir "$${VEDETTE_DIR:-.vedette}"

test: setup-test ui ## every test at CI size
	@.ci/step.sh "compile the programs" $(CARGO) build --locked --workspace --bins
	@.ci/step.sh "compile the tests" $(CARGO) test --locked --workspace --lib --bins --tests --no-run
	@.ci/step.sh "run the tests" $(CARGO) test --locked --workspace --lib --bins --tests --no-fail-fast

soak: setup-test build ## the same tests at the sizes that releases are judged by; writes soak-<commit>.txt
	@.ci/soak.sh

fuzz: setup ## every format under libFuzzer, ARGS="seconds targets"; 600 seconds each
	@.ci/fuzz.sh $(ARGS)

bench: setup ## benchmarks of hot paths
	@$(CARGO) bench --locked --package vedette-benches

bench-programs: setup-bench ui
	@cargo build --locked --release --package vedette-agent --package vedette-benches --bins

# The help has one line for all of them.
bench-scrape: ## ours beside Prometheus and VictoriaMetrics: bench-scrape, bench-memory, bench-disk, bench-recovery, bench-restart, bench-remote-write, bench-idle, bench-queries
$(SUITES:%=bench-%): bench-%: bench-programs
	@$(RELEASE)/headline $* $(ARGS)

lint: setup ## format, clippy, documentation: warnings are errors
	@.ci/step.sh "format" cargo fmt --all --check
	@.ci/step.sh "clippy" $(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	@RUSTDOCFLAGS="-D warnings" .ci/step.sh "documentation" $(CARGO) doc --locked --workspace --no-deps --document-private-items

clean: ## what was built here; the cache in ~/.cache/vedette stays
	@rm -rf agent/web/ui/dist agent/web/ui/node_modules .vedette
