#!/usr/bin/env bash
# Takes an infra down. usage: scripts/down.sh CLIENT INFRA [-purge]
set -euo pipefail
cd "$(dirname "$0")/.."
if [ ! -x .venv/bin/kokiris ]; then
  echo "nothing to stop: kokiris is not installed here"
  exit 0
fi
exec .venv/bin/kokiris down -client "$1" -infra "$2" ${3:+"$3"}
