const Koa = require('koa');
const app = new Koa();
app.use((ctx) => {
  if (ctx.path === '/') ctx.body = 'Hello from node-koa-berry\n';
});
app.listen(process.env.PORT || 3000);
