const { hello } = require('@w/greeting');
const app = require('express')();
app.get('/', (_, res) => res.send(hello('node-workspace-npm')));
app.listen(process.env.PORT || 3000);
