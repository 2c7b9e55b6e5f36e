#!/usr/bin/env bash
# Compiles requirements/*.in into locks with hashes and without any address.
set -euo pipefail
cd "$(dirname "$0")/.."
tool=$(mktemp -d)
trap 'rm -rf "$tool"' EXIT
python3 -m venv "$tool"
"$tool/bin/pip" install --quiet uv
for name in runtime dev; do
  "$tool/bin/uv" pip compile --quiet --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
    "requirements/$name.in" -o "requirements/$name.txt"
done
