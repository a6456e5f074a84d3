# Stand-in for oven/bun:1-slim: the program from its npm package, and the user `bun` (1000).
FROM node:24-slim AS package
ARG VERSION
RUN npm install --prefix /package --no-audit --no-fund "@oven/bun-linux-x64@$VERSION"

FROM debian:bookworm-slim
COPY --from=package /package/node_modules/@oven/bun-linux-x64/bin/bun /usr/local/bin/bun
RUN ln -s bun /usr/local/bin/bunx \
 && groupadd --gid 1000 bun \
 && useradd --uid 1000 --gid bun --shell /bin/bash --create-home bun
CMD ["bun"]
