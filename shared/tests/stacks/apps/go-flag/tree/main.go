package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"time"
)

var (
	where = flag.String("http", "localhost:8080", "where to listen")
	zone  = flag.String("zone", "Europe/Berlin", "the zone of the clock")
)

func main() {
	flag.Parse()
	place, err := time.LoadLocation(*zone)
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "It is", time.Now().In(place).Format(time.Kitchen), "in", place)
	})
	log.Fatal(http.ListenAndServe(*where, nil))
}
