#!/usr/bin/env bash
# Brings up an infra with every door open, and its sample site: built here, pushed to the client's own registry, run from
# there. A second run changes nothing and says so. usage: scripts/up.sh CLIENT INFRA [OPTION OF kokiris up …]
set -euo pipefail
cd "$(dirname "$0")/.."
kokiris=.venv/bin/kokiris
client=$1 infra=$2; shift 2
here=(-client "$client" -infra "$infra")

"$kokiris" up "${here[@]}" "$@"
"$kokiris" addon enable "${here[@]}" registry mariadb phpmyadmin
callers_path=$PATH   # the next commands are for the shell that has called this
eval "$("$kokiris" env "${here[@]}")"

image=$(examples/site/build.sh)
name=site tag=${image#*:}
remote=$KOKIRIS_REGISTRY/$name:$tag
if ! "$kokiris" registry repo list -json | grep -q "\"$tag\""; then
  login=$(mktemp -d)   # docker keeps what it logs in with: here, only until the push is done
  trap 'rm -rf "$login"' EXIT
  echo "pushing $remote" >&2
  printf '%s' "$NOMAD_TOKEN" | docker --config "$login" login --username token --password-stdin "$KOKIRIS_REGISTRY" >/dev/null
  docker tag "$image" "$remote"
  docker --config "$login" push --quiet "$remote" >/dev/null
  docker rmi "$remote" >/dev/null   # the worker pulls it, as it would from anywhere else
fi
"$kokiris" job run -if-changed -var "image=$remote" examples/site.nomad.hcl
PATH=$callers_path "$kokiris" urls "${here[@]}" -wait https://www.site.localhost/ -next
