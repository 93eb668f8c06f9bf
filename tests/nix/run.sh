#!/usr/bin/env bash
# Tests of everything that is Nix. Needs nix-instantiate (2.8 or newer) only.
#
#   tests/nix/run.sh
#
# What is about upstream's mkRoot needs the pins nixops4 and nixpkgs-lib.
# They are downloaded, or taken from the folders that NPINS_OVERRIDE_nixops4
# and NPINS_OVERRIDE_nixpkgs_lib name; where neither works it is skipped, and
# the run says so. Formatting is checked where nixfmt is on PATH.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(cd "$here/../.." && pwd)
cd "$project"

if ! command -v nix-instantiate >/dev/null; then
  echo "nix-instantiate is not on PATH: install Nix 2.8 or newer (Debian: nix-bin)" >&2
  exit 1
fi

# A Nix of its own: works where /nix is absent or not writable, and neither a
# daemon nor anybody's settings have a say.
private=$(mktemp -d)
cleanup() {
  chmod -R u+w "$private"
  rm -rf "$private"
}
trap cleanup EXIT
mkdir "$private/conf"
cat >"$private/conf/nix.conf" <<'CONF'
build-users-group =
connect-timeout = 10
download-attempts = 2
CONF
export NIX_STATE_DIR="$private/state" NIX_STORE_DIR="$private/store" \
  NIX_LOG_DIR="$private/log" NIX_CONF_DIR="$private/conf" \
  NIX_USER_CONF_FILES=/dev/null XDG_CACHE_HOME="$private/cache" NIX_REMOTE=local
unset NIX_PATH NIX_CONFIG

passed=0 failed=0 skipped=0
pass() { passed=$((passed + 1)); }
fail() {
  failed=$((failed + 1))
  printf 'FAILED %s\n' "$1"
  sed 's/^/    /' <<<"$2"
}
skip() {
  skipped=$((skipped + $1))
  printf 'skipped: %s\n' "$2"
}

evaluate() { nix-instantiate --eval --strict --json "$@"; }

# Nix text to text: a JSON string of ours has no escapes but these.
unquote() {
  local text=${1#\"}
  text=${text%\"}
  printf '%b' "${text//\\\"/\"}"
}

# For each case a line: name, TAB, error or value, then each part of the error
# message after a TAB, then ABSENT and the parts that must not be in it.
cases() {
  local listing
  listing=$(
    evaluate --argstr file "$1" -E '
      { file }:
      let
        cases = import file;
        line = name:
          let case = cases.${name}; in
          builtins.concatStringsSep "\t" (
            [ name (if case ? error then "error" else "value") ]
            ++ case.error or [ ]
            ++ (if case ? absent then [ "ABSENT" ] ++ case.absent else [ ])
          );
      in
      builtins.concatStringsSep "\n" (map line (builtins.attrNames cases))'
  ) || return 1
  unquote "$listing"
}

check_value() {
  local title=$1 status=$2 output=$3
  if [[ $status != 0 ]]; then
    fail "$title" "$output"
  elif [[ $output != null ]]; then
    fail "$title" "$output"
  else
    pass
  fi
}

check_error() {
  local title=$1 status=$2 output=$3 part must=yes
  shift 3
  if [[ $status == 0 ]]; then
    fail "$title" "evaluated, but should have been refused"
    return
  fi
  for part in "$@"; do
    if [[ $part == ABSENT ]]; then
      must=no
    elif [[ $must == yes && $output != *"$part"* ]]; then
      fail "$title" "the message lacks: $part"$'\n'"$output"
      return
    elif [[ $must == no && $output == *"$part"* ]]; then
      fail "$title" "the message contains: $part"
      return
    fi
  done
  pass
}

run_cases() {
  local file=$here/$1 name kind output status listing parts
  if ! listing=$(cases "$file" 2>"$private/stderr"); then
    fail "$1" "$(cat "$private/stderr")"
    return
  fi
  while IFS=$'\t' read -r name kind parts; do
    status=0
    # Only what Nix says of a failure is looked at; warnings are no result.
    output=$(evaluate --argstr file "$file" --argstr name "$name" "$here/check.nix" 2>"$private/stderr") || {
      status=$?
      output=$(cat "$private/stderr")
    }
    if [[ $kind == value ]]; then
      check_value "$1: $name" "$status" "$output"
    else
      IFS=$'\t' read -ra expected <<<"$parts"
      check_error "$1: $name" "$status" "$output" "${expected[@]}"
    fi
  done <<<"$listing"
}

mapfile -t files < <(
  git ls-files --cached --others --exclude-standard '*.nix' 2>/dev/null |
    while read -r file; do [[ -e $file ]] && echo "$file"; done
)
if ((${#files[@]} == 0)); then
  fail "files" "git lists no .nix file"
fi

for file in "${files[@]}"; do
  if output=$(nix-instantiate --parse "$file" 2>&1 >/dev/null); then pass; else fail "parse $file" "$output"; fi
done

if command -v nixfmt >/dev/null; then
  for file in "${files[@]}"; do
    if output=$(nixfmt --check "$file" 2>&1); then pass; else fail "format $file" "run: nixfmt $file"$'\n'"$output"; fi
  done
else
  skip "${#files[@]}" "format: nixfmt is not on PATH (cargo install nixfmt_rs)"
fi

run_cases root.nix
run_cases state.nix
run_cases providers.nix
run_cases refusals.nix
run_cases pins.nix
run_cases demo.nix
run_cases tenant.nix
run_cases garage.nix

# About upstream's mkRoot.
pinned=(full.nix module-documents.nix module-members.nix module-mistakes.nix module-values.nix)

# Whether the pins are at hand is a question of its own: only a failed download
# is a reason to skip. A wrong hash or a broken file is a failure.
if output=$(
  evaluate --argstr pins "$project/npins" -E '
    { pins }: map (pin: builtins.readDir pin.outPath != { }) (builtins.attrValues (import pins))' 2>&1
); then
  for file in "${pinned[@]}"; do run_cases "$file"; done
elif [[ $output == *"unable to download"* ]]; then
  count=$(for file in "${pinned[@]}"; do cases "$here/$file" && echo; done 2>/dev/null | grep -c .)
  skip "$count" "upstream's mkRoot: the pins cannot be downloaded: $(grep 'unable to download' <<<"$output" | tail -n1)"
else
  fail "pins" "$output"
fi

echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0))
