# Data are made at the first start, in the mounted folder.
rm -rf /var/lib/mysql
mkdir -p /var/lib/mysql
chown 991:991 /var/lib/mysql
