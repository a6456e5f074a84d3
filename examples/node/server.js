"use strict";

const express = require("express");

const app = express();
app.disable("x-powered-by");

app.get("/", (_request, response) => response.type("text").send("Hello from the node example\n"));
app.get("/healthz", (_request, response) => response.type("text").send("ok\n"));

const server = app.listen(Number(process.env.PORT) || 3000, "0.0.0.0", () => {
  console.log(`listening on port ${server.address().port}`);
});

process.on("SIGTERM", () => server.close());
