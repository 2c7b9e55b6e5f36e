mkdir -p /var/lib/phpmyadmin/tmp /var/lib/php/sessions /etc/phpmyadmin/kokiris.d
chown -R 33:33 /var/lib/phpmyadmin/tmp /var/lib/php/sessions
# The package's own secrets are the same for all who use this image.
rm -f /var/lib/phpmyadmin/blowfish_secret.inc.php /etc/phpmyadmin/config-db.php
rm -rf /etc/apache2/sites-enabled/* /etc/apache2/conf-enabled/*
