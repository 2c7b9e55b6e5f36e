#!/usr/bin/env bash
# Brings up an infra and its sample site; a second run changes nothing and says so. usage: scripts/up.sh CLIENT INFRA [OPTION OF kokiris up …]
set -euo pipefail
cd "$(dirname "$0")/.."
kokiris=.venv/bin/kokiris
client=$1 infra=$2; shift 2
"$kokiris" up -client "$client" -infra "$infra" "$@"
eval "$("$kokiris" env -client "$client" -infra "$infra")"
image=$(examples/site/build.sh)
"$kokiris" job run -if-changed -var "image=$image" examples/site.nomad.hcl
"$kokiris" urls -client "$client" -infra "$infra" -wait https://www.site.localhost/ -next
