import { Elysia } from "elysia";

const client = await Bun.file("public/client.js").text();
new Elysia().get("/", () => "words").get("/client.js", () => client).listen(3000);
