#!/usr/bin/env bash
# Installs what the build needs (`setup.sh build`), and what the tests (`setup.sh test`) or the runs beside the
# peers (`setup.sh bench`) need on top.
#
# Asks nothing. As root or through sudo it installs; otherwise it prints the commands and stops.
# Nothing is installed that is there already; peers are unpacked beside the build and never started.
set -euo pipefail
what=${1:-build}
cache="${VEDETTE_CACHE:-$HOME/.cache/vedette}"
mkdir -p "$cache"

rust_min=1.95
node_min=20.19
node_version=20.19.5
declare -A node_sha256=(
  [x64]=315046739a513a70e03a4a55a8afda8cf979f30852e576075c340084e3f8ac0f
  [arm64]=d462267863ae8ee556039ebdf559055a8ec562c633889ef1403f3adb449ba1dd
)

at_least() { [ "$(printf '%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo -n "$@"
  else
    printf 'This needs root. Run these commands, then the same make command again:\n  %s\n' "sudo $*" >&2
    exit 1
  fi
}

apt_updated=
apt_update() {
  [ -n "$apt_updated" ] && return
  as_root apt-get update -qq -o DPkg::Lock::Timeout=600
  apt_updated=yes
}

# Installs Debian packages of which one is missing.
packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] && return
  echo "setup: installing ${missing[*]}"
  apt_update
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o DPkg::Lock::Timeout=600 --no-install-recommends "${missing[@]}" >"$cache/apt.log" 2>&1 ||
    { tail -n 20 "$cache/apt.log" >&2; exit 1; }
}

rust() {
  local have
  have=$(rustc --version 2>/dev/null | cut -d ' ' -f 2 || true)
  if [ -n "$have" ] && at_least "$have" "$rust_min"; then return; fi
  echo "setup: installing Rust through rustup (found: ${have:-none}, needed: $rust_min)"
  packages curl ca-certificates
  if command -v rustup >/dev/null; then
    rustup toolchain install stable --profile minimal --component rustfmt --component clippy
    rustup default stable
  else
    local installer from
    from="https://static.rust-lang.org/rustup/dist/$(uname -m)-unknown-linux-gnu/rustup-init"
    installer="$cache/rustup-init"
    curl --proto '=https' --tlsv1.2 -fsSL -o "$installer" "$from"
    # A download that was cut short must not run.
    echo "$(curl --proto '=https' --tlsv1.2 -fsSL "$from.sha256" | cut -c 1-64)  $installer" | sha256sum --check --quiet
    chmod +x "$installer"
    "$installer" -y --no-modify-path --profile minimal --component rustfmt --component clippy
    rm "$installer"
  fi
}

node() {
  local have machine archive
  have=$(command node --version 2>/dev/null | tr -d v || true)
  if [ -n "$have" ] && at_least "$have" "$node_min"; then return; fi
  case "$(uname -m)" in
    x86_64) machine=x64 ;;
    aarch64) machine=arm64 ;;
    *) echo "setup: no Node archive is known for $(uname -m); put Node $node_min or newer on PATH" >&2; exit 1 ;;
  esac
  echo "setup: unpacking Node $node_version into $cache/tools (found: ${have:-none}, needed: $node_min)"
  packages curl ca-certificates xz-utils
  mkdir -p "$cache/tools"
  archive="$cache/tools/node-$node_version.tar.xz"
  curl -fsSL -o "$archive" "https://nodejs.org/dist/v$node_version/node-v$node_version-linux-$machine.tar.xz"
  echo "${node_sha256[$machine]}  $archive" | sha256sum --check --quiet
  rm -rf "$cache/tools/node"
  mkdir "$cache/tools/node"
  tar -xJf "$archive" -C "$cache/tools/node" --strip-components 1
  rm "$archive"
}

# Debian's packages start their services when they are installed, on our very ports: unpack them instead.
peers() {
  local package folder="$cache/peers"
  mkdir -p "$folder/debs"
  for package in "$@"; do
    [ -e "$folder/$package.done" ] && continue
    echo "setup: unpacking $package beside the build"
    apt_update
    rm -f "$folder/debs/${package}"_*.deb
    (cd "$folder/debs" && apt-get download -qq -o APT::Sandbox::User=root "$package" >/dev/null)
    dpkg-deb -x "$folder/debs/${package}"_*.deb "$folder"
    touch "$folder/$package.done"
  done
}

packages clang libclang-dev g++ make pkg-config
rust
node
case "$what" in
  test)
    packages chromium strace
    peers prometheus prometheus-alertmanager prometheus-node-exporter victoria-metrics
    ;;
  bench) peers prometheus prometheus-node-exporter victoria-metrics ;;
esac
