package main

import (
	"fmt"
	"net/http"
	"os"

	"example.org/greeting"
)

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "3100"
	}
	http.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, greeting.For("workspace")) })
	if err := http.ListenAndServe(":"+port, nil); err != nil {
		panic(err)
	}
}
