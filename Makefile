.DEFAULT_GOAL := help
.PHONY: help demo test campaign fuzz gate check bench deb

# Rust may be installed for this user without being in PATH.
export PATH := $(PATH):$(HOME)/.cargo/bin
# Tests wait for servers for a good part of their time.
export RUST_TEST_THREADS ?= $(shell echo $$((2 * $$(nproc))))

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## a complete world with generated data, from nothing; ARGS=--once for one round, ARGS=--accident to lose rows and get them back
	@scripts/setup --for demo
	@cargo run --release --locked -- demo $(ARGS)

test: ## the whole test suite, against real servers; ARGS=name to choose
	@scripts/setup --for test
	@cargo test --locked --no-fail-fast $(ARGS)

campaign: ## seeded faults against a model, for long; ARGS="--minutes N --seed S", or as a finding says; --worlds N at once, --aim load|sandbox, --mysql
	@scripts/setup --for test
	@CAMPAIGN="$(ARGS)" cargo test --locked --test suite -- campaign::a_slice --nocapture

fuzz: ## readers of what others may write, on inputs that nobody wrote; ARGS="--minutes N TARGET"
	@scripts/setup --for fuzz
	@scripts/fuzz $(ARGS)

gate: ## format, lints, documentation, licences, sources and unused dependencies
	@scripts/setup --for gate
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items --quiet
	.cache/cargo-tools/bin/cargo-deny --locked check bans licenses sources
	.cache/cargo-tools/bin/cargo-machete --skip-target-dir .

check: gate ## before a change is merged: the gate and the unit tests
	@scripts/setup --for check
	cargo test --locked --lib

deb: ## the Debian package, in target/debian
	@scripts/setup --for deb
	@cargo build --release --locked
	@target/release/backup-sla package-files target/package
	@.cache/cargo-tools/bin/cargo-deb --locked

bench: ## compare with the recipe, restic, duplicity and mydumper on generated data; ARGS for scripts/bench
	@scripts/setup --for bench
	@scripts/bench $(ARGS)
	@scripts/bench-kinds $(ARGS)
	@scripts/bench-increments $(ARGS)
