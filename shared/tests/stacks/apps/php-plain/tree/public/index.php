<?php

require __DIR__ . '/../src/greeting.php';

header('Content-Type: text/plain');
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
switch ($path) {
    case '/':
        exit(greeting('plain PHP'));
    case '/health':
        exit('ok');
    default:
        http_response_code(404);
        exit('Not here');
}
