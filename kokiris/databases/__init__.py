"""MariaDB and phpMyAdmin: databases with an account each, dumps, backups, and drills that prove them."""
