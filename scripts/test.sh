#!/usr/bin/env bash
# Every check of the project, in the order in which they fail fastest.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
  printf '\n== %s\n' "$*"
}

# nixfmt comes from crates.io; it is built once and kept.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/nixops4-resources
export PATH="$PATH:$cache/tools/bin"
if ! command -v nixfmt >/dev/null; then
  step "building nixfmt (once)"
  CARGO_TARGET_DIR="$cache/tools/target" cargo install --quiet --locked --root "$cache/tools" nixfmt_rs
fi

step "format"
cargo fmt --all --check

step "lints"
cargo clippy --workspace --all-targets --quiet -- -D warnings

step "Nix"
tests/nix/run.sh

# What setup.sh could install has to be tested, then; it has said what is skipped.
required=
if [ -x "$cache/tools/postgresql-18/bin/postgres" ]; then required+=" postgresql-18"; fi
if [ -d "$cache/tools/locales/de_DE.UTF-8" ]; then required+=" german"; fi
if PATH=$PATH:/usr/sbin command -v pgbouncer >/dev/null; then required+=" pgbouncer"; fi
for program in bao sops garage rclone; do
  if command -v "$program" >/dev/null; then required+=" $program"; fi
done
export NIXOPS4_TESTS_REQUIRED=$required

# Most tests wait for a server or a provider most of the time.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(($(nproc) * 2))}
step "tests (required:${required:- nothing beside the PostgreSQL of this machine})"
cargo test --workspace --quiet

step "demo"
bin=$(cargo build --workspace --bins --quiet --message-format json | sed -n 's/.*"executable":"\([^"]*\)\/nixops4-resources".*/\1/p')
with=()
case " $required " in *" garage "*) with=(--with-garage) ;; esac
DEMO_BIN=$bin scripts/demo.sh "${with[@]}" >/dev/null

step "all is well"
