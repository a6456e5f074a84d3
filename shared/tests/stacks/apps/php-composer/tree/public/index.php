<?php

require __DIR__ . '/../vendor/autoload.php';

echo Shop\Greeting::of('php-composer');
