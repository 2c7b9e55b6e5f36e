#!/usr/bin/env bash
# Brings up an infra and its sample site; a second run changes nothing and says so. usage: scripts/up.sh CLIENT INFRA
set -euo pipefail
cd "$(dirname "$0")/.."
kokiris=.venv/bin/kokiris
"$kokiris" up -client "$1" -infra "$2"
eval "$("$kokiris" env -client "$1" -infra "$2")"
image=$(examples/site/build.sh)
"$kokiris" job run -if-changed -var "image=$image" examples/site.nomad.hcl
"$kokiris" urls -client "$1" -infra "$2" -wait https://www.site.localhost/ -next
