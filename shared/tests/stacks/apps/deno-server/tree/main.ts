import ms from "ms";

Deno.serve((request) => {
  const { pathname } = new URL(request.url);
  if (pathname !== "/") return new Response("no such page", { status: 404 });
  return new Response(`tea in ${ms(180000, { long: true })}`);
});
