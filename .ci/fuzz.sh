#!/usr/bin/env bash
# Runs every fuzz target under libFuzzer, one after the other, and prints how often each ran.
#
#   .ci/fuzz.sh                      600 seconds each
#   .ci/fuzz.sh 60 tiles blocks      60 seconds, only these
#
# Stable Rust: the compiler's coverage pass and libFuzzer's runtime need no nightly. The corpus stays in the
# cache and grows; an input that fails is written to fuzz/findings/TARGET, where tests/replay.rs finds it.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-600}
[ $# = 0 ] || shift

cache="${VEDETTE_CACHE:-$HOME/.cache/vedette}"
target_dir="${CARGO_TARGET_DIR:-$cache/target}/libfuzzer"
corpus="$cache/fuzz-corpus"
host=$(rustc -vV | sed -n 's/^host: //p')
# What sanitizer coverage means for libFuzzer; with --target it is not for build scripts.
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
RUSTFLAGS="$coverage" cargo build --locked --profile fuzz --package vedette-fuzz --bins --features libfuzzer \
  --target "$host" --target-dir "$target_dir"
programs="$target_dir/$host/fuzz"

# Files of one input each: in memory where that can be.
[ -d /dev/shm ] && [ -z "${TMPDIR:-}" ] && export TMPDIR=/dev/shm
mkdir -p "$corpus"
all=$(VEDETTE_FUZZ_SEEDS="$corpus" "$programs/fuzz")
failed=0
# shellcheck disable=SC2048,SC2086
for name in ${*:-$all}; do
  mkdir -p "fuzz/findings/$name"
  log="$corpus/$name.log"
  if VEDETTE_FUZZ_TARGET="$name" "$programs/fuzz" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=16384 \
    -print_final_stats=1 -artifact_prefix="fuzz/findings/$name/" "$corpus/$name" >"$log" 2>&1; then
    result=ok
  else
    result="FAILED, see $log"
    failed=1
  fi
  rmdir --ignore-fail-on-non-empty "fuzz/findings/$name"
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  features=$(sed -n 's/.* ft: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
  echo "fuzz $name: ${runs:-?} runs in $seconds s, ${features:-?} features, $result"
done
rmdir --ignore-fail-on-non-empty fuzz/findings 2>/dev/null || true
exit $failed
