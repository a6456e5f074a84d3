<?php

function greeting(string $whom): string
{
    return "Hello from $whom";
}
