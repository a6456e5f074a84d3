module example.com/byop/hello

go 1.22
