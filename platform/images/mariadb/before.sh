# Ids that the host's folders are made for (kokiris/addons).
groupadd --system --gid 991 mysql
useradd --system --uid 991 --gid 991 --home-dir /nonexistent --shell /bin/false mysql
