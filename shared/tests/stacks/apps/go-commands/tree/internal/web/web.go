package web

import (
	_ "embed"
	"net/http"
)

//go:embed index.html
var index []byte

// Serve answers until it cannot.
func Serve() error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { w.Write(index) })
	server := &http.Server{
		Handler: mux,
		Addr:    ":9090",
	}
	return server.ListenAndServe()
}
