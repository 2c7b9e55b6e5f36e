<?php
// Only what the platform sets: one server, its accounts' own passwords, never root.
$cfg['blowfish_secret'] = trim(file_get_contents('/etc/phpmyadmin/kokiris.d/blowfish'));
$i = 1;
$cfg['Servers'][$i] = [
    'auth_type' => 'cookie',
    'host' => getenv('PMA_HOST'),
    'port' => getenv('PMA_PORT'),
    'AllowNoPassword' => false,
    'AllowRoot' => false,
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
