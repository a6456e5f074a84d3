# Stand-in for elixir:1.18-slim: Debian's Elixir and Erlang.
FROM debian:trixie-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends elixir erlang-dev erlang-nox \
 && rm -rf /var/lib/apt/lists/*
ENV LANG=C.UTF-8
CMD ["iex"]
