package main

import (
	"log"

	"example.org/shop/v2/internal/web"
)

func main() { log.Fatal(web.Serve()) }
