# Everything a developer runs. `make` alone lists it.
# `make demo` and `make test` share one build (the dev profile), so the second of the two is quick.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup build demo test test-rust test-clients crash soak memory serve bench lint fmt clean-data

export SKEIN_VENV ?= $(CURDIR)/.venv
export CARGO_TARGET_DIR ?= $(CURDIR)/target
PYTHON := $(SKEIN_VENV)/bin/python
SKEIN := $(CARGO_TARGET_DIR)/debug/skein

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what building and testing needs and this machine lacks
	@scripts/setup

build: setup ## Build the server (dev profile)
	@cargo build --locked --workspace --bin skein

demo: build ## Real data in over Flight, SQL out, checked against DuckDB; then leaves the server running
	@scripts/demo

test: test-rust test-clients ## All tests: Rust, then every client against a real server

test-rust: build ## The Rust tests
	@scripts/test-rust

test-clients: build ## The client matrix in tests/python
	@scripts/test-clients

crash: build ## Kill a server that is written to 200 times and look for what was lost (SKEIN_CRASH_KILLS, SKEIN_CRASH_SEED)
	@SKEIN_BIN="$(SKEIN)" SKEIN_CRASH_KILLS=$${SKEIN_CRASH_KILLS:-200} \
	  cargo test --locked --workspace --test e2e killed_at_any_moment -- --nocapture

soak: build ## Mixed load for DURATION seconds (default 1800): memory, file descriptors, files and listings stay flat
	@scripts/soak

memory: build ## Sorts, joins, groups and ingests of 2.5 GiB with 256 MiB for queries: they spill or say why, within bounded memory
	@SKEIN_BIN="$(SKEIN)" SKEIN_TEST_POOL_MIB=256 $(PYTHON) -m pytest tests/python/test_spill.py -o faulthandler_timeout=1200

serve: build ## Run the server with data in ./skein-data
	@exec $(SKEIN) serve

bench: setup ## Benchmarks beside their peers (release profile; BENCH="stream latency" for some)
	@scripts/bench $(BENCH)

lint: setup ## Formatting, clippy with warnings denied, dependencies, Python types
	@scripts/lint

fmt: ## Format the Rust code
	@cargo fmt --all

clean-data: ## Delete what `make serve` and `make demo` stored
	@rm -rf skein-data && echo "removed ./skein-data"
