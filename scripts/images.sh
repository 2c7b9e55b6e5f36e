#!/usr/bin/env bash
# Builds the add-ons' images that are not in the cache yet; says nothing when all are there.
# usage: scripts/images.sh [-renew] [RECIPE …]
set -euo pipefail
cd "$(dirname "$0")/.."
exec .venv/bin/python -m kokiris.addons.images "$@"
