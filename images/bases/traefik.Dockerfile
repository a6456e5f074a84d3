# Stand-in for traefik:v3.7: the static binary as the entrypoint.
FROM debian:bookworm-slim
COPY --chmod=755 traefik /usr/local/bin/traefik
EXPOSE 80
ENTRYPOINT ["traefik"]
