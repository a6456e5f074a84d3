export default defineEventHandler(() => 'Hello from node-nitro\n');
