const fs = require("node:fs");
const { minify } = require("terser");

fs.mkdirSync("shop/static/shop", { recursive: true });
fs.writeFileSync("shop/static/shop/site.css", "body { margin: 2rem }\n");
minify(fs.readFileSync("site.js", "utf8")).then(({ code }) => fs.writeFileSync("shop/static/shop/site.js", code));
