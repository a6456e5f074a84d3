const app = require('express')();
app.get('/', (_, res) => res.send('Hello from node-workspace-pnpm\n'));
app.listen(process.env.PORT);
