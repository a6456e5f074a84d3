module example.org/tick

go 1.24
