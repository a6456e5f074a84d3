"use strict";

// Answers at once at /, after five seconds at /slow, and echoes what a web socket says. Asked to end, it takes no more
// requests, lets those that it has end, and tells its web sockets that it goes away.
const http = require("http");
const { WebSocketServer } = require("ws");

const word = process.env.ROUND || "none";
const server = http.createServer((request, response) => {
  if (request.url === "/slow") return void setTimeout(() => response.end(word), 5000);
  response.end(word);
});
const sockets = new WebSocketServer({ server, path: "/socket" });
sockets.on("connection", (socket) => socket.on("message", (text) => socket.send(String(text))));

server.listen(Number(process.env.PORT) || 3000, "0.0.0.0", () => console.log("listening"));
process.on("SIGTERM", () => {
  server.close(() => process.exit(0));
  for (const socket of sockets.clients) socket.close(1001, "going away");
});
