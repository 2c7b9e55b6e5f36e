#!/usr/bin/env bash
# Runs a command on a machine of its own: its network, processes, mounts, /run, /etc/hosts, /etc/docker and
# /var/lib/kokiris are private, so that an infra that is up here is not disturbed, and whatever the command leaves running ends with it.
# usage: scripts/isolated.sh COMMAND [ARGUMENT …]
set -euo pipefail
if [ "$(id -u)" != 0 ]; then
  echo "running containers needs root" >&2
  exit 1
fi
scratch=$(mktemp -d /tmp/kok.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/data" "$scratch/docker" /var/lib/kokiris /etc/docker
cp /etc/hosts "$scratch/hosts"
export KOKIRIS_SCRATCH=$scratch
# The shell stays as process 1 of the new namespace: it reaps what is orphaned there.
unshare --net --mount --pid --fork --mount-proc --kill-child --propagation private sh -c '
  set -e
  mount -t tmpfs -o mode=755 tmpfs /run
  mount --bind "$KOKIRIS_SCRATCH/hosts" /etc/hosts
  mount --bind "$KOKIRIS_SCRATCH/docker" /etc/docker
  mount --bind "$KOKIRIS_SCRATCH/data" /var/lib/kokiris
  ip link set lo up
  set +e
  "$@"
  code=$?
  exit $code
' sh "$@"
