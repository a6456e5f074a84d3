import { Hono } from "hono";

const app = new Hono();
app.get("/", (c) => c.text("tea from a handler"));
app.get("/health", (c) => c.json({ ok: true }));

export default { fetch: app.fetch };
