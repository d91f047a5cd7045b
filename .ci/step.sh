#!/usr/bin/env bash
# Runs a command and prints how long it took: step.sh NAME COMMAND...
# Leading VAR=value words set the command's environment, as `env` would.
set -uo pipefail
name=$1
shift
echo "== $name"
start=$(date +%s)
env "$@"
code=$?
echo "== $name: $(($(date +%s) - start)) s, exit $code"
exit "$code"
