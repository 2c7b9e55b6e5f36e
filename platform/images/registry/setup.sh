# The configuration is mounted; the package's own listens everywhere and remembers blobs that are gone.
rm -rf /etc/docker/registry
mkdir -p /etc/registry /var/lib/registry
chown 990:990 /var/lib/registry
