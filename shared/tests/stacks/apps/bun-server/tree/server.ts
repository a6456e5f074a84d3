import ms from "ms";

Bun.serve({
  port: Number(Bun.env.PORT ?? 3000),
  routes: {
    "/": () => new Response(`a bell each ${ms(1800000, { long: true })}`),
    "/health": () => Response.json({ ok: true }),
  },
  fetch: () => new Response("no such bell", { status: 404 }),
});
