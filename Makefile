# The verbs people type. `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
RELEASE := target/$(HOST)/release
# What `make build` made: root, who installs it, need not have Rust.
BUILT = $(firstword $(wildcard $(if $(HOST),$(RELEASE)/tortie) target/*/release/tortie))
PREFIX ?= /usr/local
STATIC := RUSTFLAGS="-C target-feature=+crt-static"
export CARGO_TERM_COLOR ?= auto

.PHONY: help deps test check lint docs build bench demo mutants soak install package image boot vm fuzz

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

deps: ## install the Debian packages that the tests need and that are missing
	@scripts/deps

test: deps ## everything that CI runs
	@nice -n 19 tests/kubernetes/build >/dev/null & kubernetes=$$!; \
	$(MAKE) --no-print-directory lint docs && \
	cargo test --workspace --all-features --no-run && \
	wait $$kubernetes && \
	cargo test --workspace --all-features --no-fail-fast

check: ## the inner loop: format, lints, quick tests; installs nothing
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --workspace --lib --bins

lint: ## format and lints, warnings as errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings

docs: ## the API documentation, warnings as errors
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --quiet

build: ## the release binary, static: $(RELEASE)/tortie
	$(STATIC) cargo build --release --target $(HOST) -p tortie-cli
	@ls -l $(RELEASE)/tortie

bench: build ## measure; results go to bench/results
	@scripts/bench $(RELEASE)/tortie

demo: ## a host with two neighbours, real connections before and after each policy; STAY=1 leaves a shell inside
	cargo build -p tortie-cli
	@scripts/demo target/debug/tortie

mutants: ## prove that the tests can fail: each named fault must be caught
	@scripts/mutants

soak: ## promises of the agent and random worlds, again and again until one fails; SOAK=minutes (10)
	@scripts/soak

install: ## install what `make build` made under $(PREFIX)/bin; it may be run as root without Rust
	@test -n "$(BUILT)" || { echo "install: nothing is built yet: run 'make build' first, as the user who has Rust" >&2; exit 1; }
	install -D -m 0755 "$(BUILT)" $(DESTDIR)$(PREFIX)/bin/tortie
	@echo "tortie is in $(DESTDIR)$(PREFIX)/bin. To use it as calicoctl: ln -s tortie $(DESTDIR)$(PREFIX)/bin/calicoctl"

package: build ## a Debian package and a tarball of the release binary, with checksums, in dist/
	@scripts/package $(RELEASE)/tortie

image: build ## the container image of packaging/kubernetes/Containerfile as an OCI archive in dist/, its content tested by unpacking
	@scripts/image $(RELEASE)/tortie

boot: package ## boot a Debian container with the package: policy must be in the kernel before the network (root, debootstrap, systemd-container)
	@scripts/boot dist/tortie_*.deb

vm: ## the tests that need a kernel on Debian's kernel 6.1, in a virtual machine (root or sudo, x86_64); not part of `make test`
	@scripts/vm

fuzz: ## every fuzz target for FUZZ_SECONDS (60) each, on a nightly compiler with cargo-fuzz; what is found is kept in fuzz/artifacts
	@scripts/fuzz
