# Stand-in for hugomods/hugo:exts-VERSION: the extended edition from its Python package, and git.
FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends git \
 && rm -rf /var/lib/apt/lists/*
COPY --chmod=755 hugo-*-linux-amd64 /usr/local/bin/hugo
WORKDIR /src
CMD ["hugo"]
