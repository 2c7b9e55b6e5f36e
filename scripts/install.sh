#!/usr/bin/env bash
# Installs what is missing: Debian packages, then a virtual environment from the hashed locks. Says nothing when all is there.
# usage: scripts/install.sh runtime|dev
set -euo pipefail
cd "$(dirname "$0")/.."
want=${1:-runtime}

packages=(docker.io haproxy etcd-server iptables iproute2 curl busybox-static ca-certificates mmdebstrap)
[ "$want" = dev ] && packages+=(etcd-client bind9-dnsutils dnsperf wrk openssl docker-registry mariadb-server-core mariadb-client chromium chromium-driver
  rsyslog-elasticsearch libivykis0 libnet1 libpcre3 libwrap0 unbound dnsmasq-base python3-consul2 skopeo)

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
if ! python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  missing+=(python3 python3-venv)
fi
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "missing Debian packages: ${missing[*]}; run as root to have them installed" >&2
    exit 1
  fi
  echo "installing Debian packages: ${missing[*]}"
  log=$(mktemp)
  # Services are started by kokiris itself, never by their packages.
  blocker=/usr/sbin/policy-rc.d
  made_blocker=
  if [ ! -e "$blocker" ]; then printf '#!/bin/sh\nexit 101\n' > "$blocker"; chmod +x "$blocker"; made_blocker=1; fi
  trap '[ -z "$made_blocker" ] || rm -f "$blocker"; rm -f "$log"' EXIT
  if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -20 "$log" >&2
    echo "apt-get failed; see above" >&2
    exit 1
  fi
fi

# syslog-ng and rsyslog exclude each other as packages: one is only unpacked, for tests that run it from there.
unpacked=.venv/debian/syslog-ng
if [ "$want" = dev ] && [ ! -d "$unpacked" ]; then
  scratch=$(mktemp -d)
  chmod 755 "$scratch"
  fetch() { (cd "$scratch" && apt-get download syslog-ng-{core,mod-http,scl}) >"$scratch/log" 2>&1; }
  if ! { fetch || { apt-get update >/dev/null 2>&1 && fetch; }; }; then
    tail -20 "$scratch/log" >&2
    echo "apt-get failed; see above" >&2
    exit 1
  fi
  for package in "$scratch"/*.deb; do dpkg --extract "$package" "$scratch/root"; done
  mkdir -p "${unpacked%/*}"
  mv "$scratch/root" "$unpacked"
  rm -rf "$scratch"
fi

locks=(requirements/runtime.txt)
[ "$want" = dev ] && locks+=(requirements/dev.txt)
stamp=.venv/.installed-$want
digest=$(cat "${locks[@]}" pyproject.toml | sha256sum | cut -d' ' -f1)
if [ "$(cat "$stamp" 2>/dev/null)" != "$digest" ]; then
  echo "installing Python packages into .venv (hashed lock)"
  [ -x .venv/bin/python ] || python3 -m venv .venv
  args=()
  for lock in "${locks[@]}"; do args+=(-r "$lock"); done
  pip=(.venv/bin/python -m pip install --quiet --disable-pip-version-check)
  if ! { "${pip[@]}" --require-hashes "${args[@]}" && "${pip[@]}" --no-deps --no-build-isolation -e .; }; then
    echo "pip failed; see above. Once it reaches a package index, run the same command again: it goes on from here" >&2
    exit 1
  fi
  echo "$digest" > "$stamp"
fi
