<?php

namespace Shop;

class Greeting
{
    public static function of(string $whom): string
    {
        return "Hello from $whom\n";
    }
}
