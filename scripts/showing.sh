# How a demo looks, cleans up after itself, and gets its executables; for demo.sh and
# demo-garage.sh, which source it. It must not know what they show.
#
# Before `clean_up_afterwards` the script defines `clean_up`; `root` is its checkout.

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
  bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' plain=$'\e[0m'
else
  bold='' dim='' red='' plain=''
fi
heading() { printf '\n%s── %s%s\n' "$bold" "$*" "$plain"; }
say() { printf '%s%s%s\n' "$dim" "$*" "$plain"; }
fail() {
  printf '%sdemo: %s%s\n' "$red" "$*" "$plain" >&2
  exit 1
}
# Shows a command as one would type it, then runs it.
try() {
  printf '\n%s$ %s%s\n' "$bold" "$*" "$plain"
  "$@"
}

# Calls `clean_up` when the script is gone, whatever ended it.
clean_up_afterwards() {
  # Reads from a pipe that only this script holds open: when the script is gone,
  # even by SIGKILL, the pipe ends.
  exec 9> >(
    trap '' INT TERM HUP
    cat >/dev/null
    clean_up
  )
  watchdog=$!
  trap finish EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}
finish() {
  exec 9>&-
  wait "$watchdog" 2>/dev/null || true
}
# What runs for long gets no part of that pipe, and ends with the script.
tied() {
  if command -v setpriv >/dev/null; then
    setpriv --pdeathsig TERM -- "$@" 9>&-
  else
    "$@" 9>&-
  fi
}

# Puts the executables into PATH: those in DEMO_BIN, or else ones that are built.
find_executables() {
  if [ -z "${DEMO_BIN:-}" ]; then
    heading "Building (the first time takes some minutes)"
    cd "$root"
    tied cargo build --release --locked
    DEMO_BIN=$(tied cargo build --release --locked --quiet --message-format json |
      sed -n 's/.*"executable":"\([^"]*\)\/nixops4-resources".*/\1/p')
  fi
  [ -x "$DEMO_BIN/nixops4-resources" ] || fail "found no nixops4-resources in ${DEMO_BIN:-the build}"
  export PATH="$DEMO_BIN:$PATH"
}
