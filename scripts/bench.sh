#!/usr/bin/env bash
# Measures the executables as users have them, each figure beside a baseline of
# the same run (tests/examples/bench). BENCH_RUNS, BENCH_MEMBERS and BENCH_ONLY make
# it shorter. Nothing is asserted: a shared machine says little about the code.
set -euo pipefail
cd "$(dirname "$0")/.."

# The tests switch failpoints on in what is built together with them, so the two
# are built apart: the default members first, and the measuring program alone,
# which leaves the executables where they are.
cargo build --release --locked
cargo build --release --locked --package nixops4-provider-sdk --example scratch
BENCH_BIN=$(cargo build --release --locked --quiet --message-format json |
  sed -n 's/.*"executable":"\([^"]*\)\/nixops4-resources".*/\1/p')
export BENCH_BIN
cargo run --release --locked --quiet --package nixops4-resources-tests --example bench
