#!/usr/bin/env bash
# Compiles RocksDB's C++ once into a static library and prints the folder that holds it.
#
# The crate's build script would compile 343 C++ files again in every profile and every clean clone
# (about 24 CPU minutes). The library is kept under a name made of everything that changes its bytes,
# so a new crate version, feature set, compiler or flag builds a new one beside the old.
set -euo pipefail

version=0.25.0
features='"bindgen-runtime","zstd","lz4","multi-threaded-cf"'
# RocksDB re-digests a zstd dictionary on every block read unless zstd's static-only calls are visible to it.
export CXXFLAGS="-DZSTD_STATIC_LINKING_ONLY -g0"
export RUSTFLAGS="-C target-cpu=x86-64-v2"
[ "$(uname -m)" = x86_64 ] || export RUSTFLAGS=""

cache="${VEDETTE_CACHE:-$HOME/.cache/vedette}"
key=$(printf '%s\n' "$version" "$features" "$CXXFLAGS" "$RUSTFLAGS" "$(c++ -dumpfullversion)" "$(uname -m)" | sha256sum | cut -c1-12)
home="$cache/rocksdb-$version"
out="$home/$key"
if [ -s "$out/librocksdb.a" ]; then
  echo "$out"
  exit 0
fi

mkdir -p "$home"
exec 9>"$home/.lock"
flock 9
if [ ! -s "$out/librocksdb.a" ]; then
  echo "rocksdb: compiling the C++ library once (about 24 CPU minutes), then it is kept in $out" >&2
  work="$home/build-$key"
  mkdir -p "$work/src"
  printf '[package]\nname="rocksdb-once"\nversion="0.0.0"\nedition="2024"\n[workspace]\n[dependencies]\nrocksdb={version="=%s",default-features=false,features=[%s]}\n' \
    "$version" "$features" >"$work/Cargo.toml"
  echo 'fn main() {}' >"$work/src/main.rs"
  env -u ROCKSDB_LIB_DIR -u ROCKSDB_STATIC CARGO_TARGET_DIR="$work/target" \
    cargo build --release --manifest-path "$work/Cargo.toml" >&2
  lib=$(find "$work/target/release/build" -name librocksdb.a -print -quit)
  mkdir -p "$out"
  cp "$lib" "$out/librocksdb.a.part"
  mv "$out/librocksdb.a.part" "$out/librocksdb.a"
  rm -rf "$work"
fi
echo "$out"
