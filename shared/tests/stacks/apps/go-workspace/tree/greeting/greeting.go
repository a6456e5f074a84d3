package greeting

func For(name string) string { return "Good day, " + name }
