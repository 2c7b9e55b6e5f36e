<?php
// Only what the platform sets: one server, its accounts' own passwords, never root.
$cfg['blowfish_secret'] = trim(file_get_contents('/etc/phpmyadmin/kokiris.d/blowfish'));
$mariadb = @parse_ini_file('/local/mariadb.ini') ?: [];
if (!isset($mariadb['host'], $mariadb['port'])) {
    http_response_code(503);
    header('Retry-After: 5');
    header('Content-Type: text/plain; charset=utf-8');
    exit("503 service unavailable: MariaDB does not run right now. Try again in a few seconds.\n");
}
$i = 1;
$cfg['Servers'][$i] = [
    'auth_type' => 'cookie',
    'host' => $mariadb['host'],
    'port' => $mariadb['port'],
    'AllowNoPassword' => false,
    'AllowRoot' => false,
    'LogoutURL' => '/.kokiris/sign-out',
    'compress' => false,
];
$cfg['TempDir'] = '/var/lib/phpmyadmin/tmp';
$cfg['UploadDir'] = '';
$cfg['SaveDir'] = '';
$cfg['AllowArbitraryServer'] = false;
$cfg['VersionCheck'] = false;
$cfg['SendErrorReports'] = 'never';
$cfg['PmaAbsoluteUri'] = getenv('PMA_ADDRESS');
$cfg['PmaNoRelation_DisableWarning'] = true;
