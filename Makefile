# What a developer and CI run. All of it builds the whole workspace, because a build of one package alone chooses other
# features and compiles much again.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
CARGO := cargo
# Said once here, so that scripts and tests agree on it.
export IMAGE_FACTORY_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/image-factory
BIN := $(or $(CARGO_TARGET_DIR),target)/debug

.PHONY: help build demo test bench tools lint deny
.NOTPARALLEL:

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/make \1\t\2/p' Makefile | expand -t 14

build: ## build the program, target/debug/image-factory
	@deploy/tools.sh build
	@$(CARGO) build --workspace --locked

demo: build ## show the factory at work, with servers of its own; installs at most a C compiler
	@$(BIN)/image-factory demo

# With all targets, as the tests are built: cargo then builds nothing twice.
test: tools lint deny ## install what the tests need, check, and run all tests
	@$(CARGO) build --workspace --all-targets --locked
	@$(BIN)/xtask test

bench: ## measure the release build, beside other tools; ARGS=mirror for one scenario, ARGS=--list for all of them
	@deploy/tools.sh bench
	@$(CARGO) build --release --locked -p image-factory -p sandbox -p loadtest
	@$(or $(CARGO_TARGET_DIR),target)/release/loadtest $(ARGS)

tools: ## install what the tests need, see deploy/README.md
	@deploy/tools.sh test

lint: ## formatting and clippy
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

deny: ## licences, banned crates and, where the database is present, advisories
	@if ! command -v cargo-deny >/dev/null; then \
	    echo "note: cargo-deny is not installed, so licences and advisories are not checked; xtask still checks the bans"; \
	elif ls "$${CARGO_HOME:-$$HOME/.cargo}"/advisory-dbs/*/ >/dev/null 2>&1; then \
	    $(CARGO) deny --offline check; \
	else \
	    echo "note: no advisory database here, so advisories are not checked"; \
	    $(CARGO) deny --offline check bans licenses sources; \
	fi
