#!/usr/bin/env bash
# Runs the tests at the sizes that releases are judged by: property tests with many cases, then the runs
# on real processes, one file after the other. Seeds, counts, durations and the commit go to
# soak-<commit>.txt in the repository's root, or into the folder that VEDETTE_SOAK_DIR names.
#
#   .ci/soak.sh                 everything
#   .ci/soak.sh page ui         only these files of chaos-tests/tests
#
# A failure does not stop the rest; the exit code tells whether there was one.
set -uo pipefail
cd "$(dirname "$0")/.."

commit=$(git rev-parse --short HEAD)
[ -z "$(git status --porcelain --untracked-files=no)" ] || commit="$commit-changed"
folder=$(realpath -m "${VEDETTE_SOAK_DIR:-.}")
mkdir -p "$folder"
file="$folder/soak-$commit.txt"

export VEDETTE_SOAK=1
export VEDETTE_SOAK_FILE="$file"
export PROPTEST_CASES="${PROPTEST_CASES:-1024}"
# A peer that is missing fails its tests instead of being skipped.
export CI="${CI:-true}"
ROCKSDB_LIB_DIR=$(.ci/rocksdb.sh) || exit 1
export ROCKSDB_LIB_DIR ROCKSDB_STATIC=1
cache="${VEDETTE_CACHE:-$HOME/.cache/vedette}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache/target}"
# The programs under test are the optimised ones that `make build` made.
export VEDETTE_BIN_DIR="${VEDETTE_BIN_DIR:-$CARGO_TARGET_DIR/release}"

say() { echo "$*" | tee -a "$file"; }

passed=0 failed=0 begin=$(date +%s)

# part NAME COMMAND...: one line in the file when it ends, its output when it fails.
part() {
  local name=$1 start code log
  shift
  start=$(date +%s)
  log=$(mktemp)
  "$@" 2>&1 | tee "$log"
  code=${PIPESTATUS[0]}
  local tests
  tests=$(sed -nE 's/^test result: .* ([0-9]+) passed; ([0-9]+) failed;.*/\1 \2/p' "$log" |
    awk '{ p += $1; f += $2 } END { printf "%d passed, %d failed", p, f }')
  say "$commit part $name: $tests, $(($(date +%s) - start)) s, exit $code"
  if [ "$code" = 0 ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    grep -E '^(---- |thread |test .* FAILED|error)' "$log" | head -n 40 | sed "s/^/$commit   /" >>"$file"
  fi
  rm -f "$log"
}

{
  echo "# soak run of Vedette"
  echo "date: $(date -u +%Y-%m-%dT%H:%M:%SZ)"
  echo "commit: $commit"
  echo "machine: $(lscpu | sed -n 's/^Model name: *//p' | head -n 1), $(nproc) cores, $(awk '/^MemTotal/ { printf "%.1f GiB", $2 / 1048576 }' /proc/meminfo), Linux $(uname -r)"
  echo "rustc: $(rustc --version)"
  echo "cases of each property: $PROPTEST_CASES"
  echo
} >"$file"

if [ $# = 0 ]; then
  # Properties: every room whose manifest names proptest.
  for manifest in $(grep -l '^proptest' agent/*/Cargo.toml federation/*/Cargo.toml); do
    room=$(basename "$(dirname "$manifest")")
    part "properties of $room" cargo test --locked --release --package "vedette-$room" --lib --tests
  done
  part "fuzz targets without libFuzzer" cargo test --locked --release --package vedette-fuzz
  set -- $(find chaos-tests/tests -maxdepth 1 -name '*.rs' -printf '%f\n' | sed 's/\.rs$//' | sort)
fi
# One file at a time: runs that measure or kill must not disturb each other.
for name in "$@"; do
  part "$name" cargo test --locked --release --package vedette-chaos-tests --test "$name" -- --nocapture --test-threads=1
done

say "$commit total: $passed parts passed, $failed failed, $(($(date +%s) - begin)) s"
echo "== $file"
[ "$failed" = 0 ]
