document.body.append("words from a module");
