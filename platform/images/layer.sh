#!/usr/bin/env bash
# Installs a recipe's packages over a base: what changed is left in WORK/upper. Its mounts live in a mount namespace of its own
# (started by kokiris.addons.build with unshare), so that nothing stays mounted however this ends.
# usage: layer.sh BASE WORK RECIPE APT_CONF [PACKAGE …]
set -euo pipefail
base=$1 work=$2 recipe=$3 apt_conf=$4; shift 4
root=$work/root
mkdir -p "$work/upper" "$work/work" "$root"
mount -t overlay overlay -o "lowerdir=$base,upperdir=$work/upper,workdir=$work/work" "$root"

# What the installation needs of the machine, and what it must not leave behind.
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
for folder in /tmp /run /var/cache /var/lib/apt /var/log; do mount -t tmpfs tmpfs "$root$folder"; done
mkdir -p "$root/tmp/recipe" "$root/var/cache/apt/archives/partial" "$root/var/lib/apt/lists/partial" "$root/var/cache/debconf"
mount --bind "$recipe" "$root/tmp/recipe"
for path in /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/keyrings /etc/apt/trusted.gpg.d /etc/apt/auth.conf.d \
            /usr/share/keyrings /etc/resolv.conf /etc/hosts; do
  if [ -e "$path" ] && [ -e "$root$path" ]; then mount --bind "$path" "$root$path"; fi
done
cp "$apt_conf" "$root/tmp/apt.conf"
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"

inside() {
  chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
    DEBIAN_FRONTEND=noninteractive APT_CONFIG=/tmp/apt.conf "$@"
}
run() { [ ! -e "$recipe/$1" ] || inside sh -e "/tmp/recipe/$1"; }

run before.sh
if [ $# -gt 0 ]; then
  inside apt-get -q update
  inside apt-get -q -y --no-install-recommends install "$@"
fi
[ ! -d "$recipe/files" ] || cp -rT --preserve=mode "$recipe/files" "$root"
run setup.sh
inside dpkg-query -W -f='${Package} ${Version}\n' > "$work/packages"
rm -f "$root/usr/sbin/policy-rc.d" "$root"/var/lib/dpkg/*-old
