export const hello = (name) => `Hello from ${name}`;
