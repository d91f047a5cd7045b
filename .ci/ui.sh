#!/usr/bin/env bash
# Builds the web UI into agent/web/ui/dist, unless it is newer than all of its sources.
set -euo pipefail
cd "$(dirname "$0")/../agent/web/ui"
if [ -f dist/index.html ] && [ -z "$(find . -newer dist/index.html -type f -not -path './node_modules/*' -not -path './dist/*' -print -quit)" ]; then
  exit 0
fi
npm ci --no-audit --no-fund --loglevel=error
npm run build --silent
