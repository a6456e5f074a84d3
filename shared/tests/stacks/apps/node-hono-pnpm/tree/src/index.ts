import { serve } from '@hono/node-server';
import { Hono } from 'hono';

const app = new Hono();
app.get('/', (c) => c.text('Hello from node-hono-pnpm\n'));
serve({ fetch: app.fetch, port: 3001 });
