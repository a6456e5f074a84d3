document.title = "Hello from" + " Node";
