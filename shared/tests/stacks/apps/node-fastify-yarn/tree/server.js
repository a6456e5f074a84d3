const app = require('fastify')();
app.get('/', async () => 'Hello from node-fastify-yarn\n');
app.get('/healthz', async () => 'ok\n');
app.listen({ port: Number(process.env.PORT) || 3000, host: process.env.HOST || '127.0.0.1' });
