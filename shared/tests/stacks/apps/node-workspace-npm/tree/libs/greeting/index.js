exports.hello = (name) => `Hello from ${name}\n`;
