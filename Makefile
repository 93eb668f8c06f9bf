# What a person or CI runs. Everything real is in scripts/ and cargo.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

.PHONY: help demo demo-garage test endurance lint bench fmt generate

help: ## Shows this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Applies a real deployment to a throwaway PostgreSQL server, and shows it
	@scripts/setup.sh cc postgresql nix
	@scripts/demo.sh

demo-garage: ## The same with a throwaway Garage, which takes 17 minutes to compile, once
	@scripts/setup.sh cc nix curl garage
	@scripts/demo-garage.sh

test: ## Checks everything: format, lints, all tests, Nix, generated files, documents
	@scripts/setup.sh cc curl postgresql nix postgresql-18 german pgbouncer bao sops judges garage rclone
	@scripts/test.sh

endurance: ## Kills, fuzzes and looks for leaks with new seeds; each test for MINUTES=10
	@scripts/setup.sh cc curl postgresql nix
	NIXOPS4_TESTS_ENDURANCE=$${MINUTES:-10} cargo test --workspace --test endurance --test apply --test command -- canaries fuzz hostile model

bench: ## Measures, each figure beside a baseline of the same run
	@scripts/setup.sh cc curl postgresql nix judges garage
	@scripts/bench.sh

fmt: ## Formats everything
	cargo fmt --all
	@if command -v nixfmt >/dev/null; then git ls-files -z '*.nix' | xargs -0 nixfmt; else echo 'nixfmt is missing: cargo install nixfmt_rs'; fi

generate: ## Writes what is made from the Rust structs: schemas and reference
	UPDATE_SCHEMAS=1 cargo test --quiet -p nixops4-protocol --test schema
	UPDATE_SCHEMAS=1 cargo test --quiet -p nixops4-resources --test schema
	UPDATE_GUIDE=1 cargo test --quiet -p nixops4-resources --test command guide
	UPDATE_SCHEMAS=1 cargo test --quiet -p nixops4-resources-tests --test generated
