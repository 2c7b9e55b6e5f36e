# Ids that the host's folders are made for (kokiris/addons).
groupadd --system --gid 990 docker-registry
useradd --system --uid 990 --gid 990 --home-dir /var/lib/docker-registry --shell /usr/sbin/nologin docker-registry
