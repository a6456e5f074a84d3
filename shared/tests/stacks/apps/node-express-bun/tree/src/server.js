const express = require('express');
const app = express();
app.get('/', (_, res) => res.send('Hello from node-express-bun\n'));
app.listen(process.env.PORT || 3000, '0.0.0.0');
