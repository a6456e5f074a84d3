# Stand-in for denoland/deno:VERSION: the program from its npm package, and the user `deno` (1993).
FROM node:24-slim AS package
ARG VERSION
RUN npm install --prefix /package --no-audit --no-fund "@deno/linux-x64-glibc@$VERSION"

FROM debian:bookworm-slim
COPY --from=package --chmod=755 /package/node_modules/@deno/linux-x64-glibc/deno /usr/local/bin/deno
RUN groupadd --gid 1993 deno \
 && useradd --uid 1993 --gid deno --shell /bin/bash deno \
 && mkdir -m 777 /deno-dir
ENV DENO_DIR=/deno-dir/ DENO_TLS_CA_STORE=system DENO_CERT=/etc/ssl/certs/ca-certificates.crt
CMD ["deno"]
