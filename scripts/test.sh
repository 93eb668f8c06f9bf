#!/usr/bin/env bash
# Every check of the project, in the order in which they fail fastest. One that fails
# keeps none of the others from running. `test.sh fast` is for the loop of a developer:
# no servers but PostgreSQL, and nothing that takes long.
set -euo pipefail
cd "$(dirname "$0")/.."
case ${*:-} in
  '') fast= ;;
  fast) fast=--fast ;;
  *) echo "usage: $0 [fast]" >&2 && exit 2 ;;
esac

# What each step was, for the table in the end: NAME=SECONDS=STATUS.
steps=()
step() { # name command...
  local name=$1 start=$EPOCHREALTIME status=0
  shift
  printf '\n== %s\n' "$name"
  "$@" || status=$?
  steps+=("$name=$(awk "BEGIN { print $EPOCHREALTIME - $start }")=$status")
  [ "$status" -eq 0 ] || printf '== %s FAILED\n' "$name"
}

# nixfmt comes from crates.io; it is built once and kept.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/nixops4-resources
export PATH="$PATH:$cache/tools/bin"
if ! command -v nixfmt >/dev/null; then
  step "building nixfmt (once)" env CARGO_TARGET_DIR="$cache/tools/target" \
    cargo install --quiet --locked --root "$cache/tools" nixfmt_rs
fi

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

messages=$(cargo metadata --no-deps --format-version 1 |
  sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/suite/messages
mkdir -p "${messages%/*}"
build() {
  local said=(--quiet --message-format json-render-diagnostics)
  cargo build --workspace --bins "${said[@]}" >"$messages" &&
    cargo test --workspace --no-run "${said[@]}" >>"$messages"
}
executable() { sed -n 's|.*"executable":"\([^"]*/'"$1"'\)".*|\1|p' "$messages" | tail -n 1; }
demo() {
  local with=()
  case " $required " in *" garage "*) with=(--with-garage) ;; esac
  DEMO_BIN=$(dirname "$(executable nixops4-resources)") scripts/demo.sh "${with[@]}" >/dev/null
}

step format cargo fmt --all --check
step lints cargo clippy --workspace --all-targets --quiet -- -D warnings
if [ -z "$fast" ]; then step Nix tests/nix/run.sh; fi
step build build
# Without executables there is nothing to test.
case ${steps[-1]} in *=0) ;; *) exit 1 ;; esac
if [ -z "$fast" ]; then
  step documentation cargo test --workspace --doc --quiet
  step demo demo
fi
printf '\n== tests (required:%s)\n' "${required:- nothing beside the PostgreSQL of this machine}"
exec "$(executable examples/suite)" "$messages" $fast "${steps[@]}"
