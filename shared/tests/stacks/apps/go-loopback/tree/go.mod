module example.org/alone

go 1.24
