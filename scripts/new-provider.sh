#!/usr/bin/env bash
# Writes a provider to begin with, which manages notes in a folder and so needs no
# server: new-provider.sh NAME
#
# Its crate, its Nix module, its guide, and a fixture for the checks that hold for every
# kind. All of it is found by its name, so that nothing else has to be told.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  printf 'new-provider: %s\n' "$*" >&2
  exit 1
}

name=${1:-}
# The type of a kind is the provider's name, `_`, and its own.
[[ $name =~ ^[a-z][a-z0-9]{0,19}$ ]] ||
  fail "\"$name\" can't be a provider; give 1 to 20 letters a-z and digits, a letter first: make new-provider NAME=dns"

files=(
  "Cargo.toml providers/$name/Cargo.toml"
  "src/main.rs providers/$name/src/main.rs"
  "src/board.rs providers/$name/src/board.rs"
  "src/note.rs providers/$name/src/note.rs"
  "conformance.rs tests/tests/${name}_conformance/main.rs"
  "module.nix nixops4/providers/$name.nix"
  "guide.md docs/guides/$name.md"
)
for file in "providers/$name" "schemas/$name.json" "${files[@]#* }"; do
  [ ! -e "$file" ] || fail "there is $file already; choose another name, or remove it"
done

for file in "${files[@]}"; do
  to=${file#* }
  mkdir -p "${to%/*}"
  sed "s/example/$name/g" "scripts/new-provider/${file%% *}" >"$to"
done
cargo fmt --all

# The schema and the reference, of this provider alone.
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
executable=$(cargo build --workspace --quiet --bin "nixops4-resources-$name" --message-format json-render-diagnostics |
  sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
cp "$executable" "$bin"
NIXOPS4_TESTS_BIN=$bin UPDATE_SCHEMAS=1 cargo test --workspace --quiet --test generated >/dev/null

cat <<DONE
providers/$name        the provider: src/note.rs is a kind, src/board.rs its server
tests/tests/${name}_conformance  what holds for every kind, checked: cargo test --workspace --test ${name}_conformance
nixops4/providers/$name.nix      its Nix module
docs/guides/$name.md             its guide
Next: git add all of that, and a line for it in README.md and CHANGELOG.md.
DONE
