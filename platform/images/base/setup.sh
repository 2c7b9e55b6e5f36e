#!/bin/sh
# Called by mmdebstrap with the new root: what this machine has lent to the installation does not stay in the image.
set -eu
root=$1
rm -f "$root"/etc/apt/apt.conf.d/99mmdebstrap "$root"/etc/apt/sources.list.d/*
mkdir -p "$root/etc/apt/keyrings" "$root/etc/apt/sources.list.d" "$root/etc/apt/auth.conf.d"
: > "$root/etc/apt/sources.list"
rm -f "$root/etc/resolv.conf" "$root/etc/hosts" "$root/etc/hostname"
: > "$root/etc/resolv.conf"
: > "$root/etc/hosts"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/log/* "$root"/var/cache/ldconfig/aux-cache
