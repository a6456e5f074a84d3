module example.org/root

go 1.24
