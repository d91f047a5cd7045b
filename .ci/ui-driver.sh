#!/usr/bin/env bash
# Installs what drives a browser in tests: the version that package-lock.json names, without a browser.
set -euo pipefail
cd "$(dirname "$0")/../chaos-tests/ui"
if [ -f node_modules/.package-lock.json ] && [ node_modules/.package-lock.json -nt package-lock.json ]; then
  exit 0
fi
npm ci --no-audit --no-fund --loglevel=error
