<?php

require __DIR__ . '/../src/greeting.php';

header('Content-Type: text/plain');
if ($_SERVER['REQUEST_URI'] === '/health') {
    exit('ok');
}
echo greeting('plain PHP');
