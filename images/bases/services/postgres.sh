#!/bin/sh
# Sets a database up at the first start, as the official image does: POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB.
set -eu
# The command may be settings alone.
case ${1:-} in -*) set -- postgres "$@" ;; esac
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA" /run/postgresql
  chown -R postgres:postgres "$PGDATA" /run/postgresql
  chmod 700 "$PGDATA"
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi
if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  : "${POSTGRES_PASSWORD:?is needed}"
  user=${POSTGRES_USER:-postgres}
  file=$(mktemp)
  printf '%s\n' "$POSTGRES_PASSWORD" >"$file"
  initdb --username="$user" --pwfile="$file" --auth-local=trust --auth-host=scram-sha-256 >/dev/null
  rm "$file"
  printf 'host all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
  pg_ctl -s -w -o "-c listen_addresses=''" start
  [ "${POSTGRES_DB:-$user}" = postgres ] || createdb -U "$user" -h /run/postgresql "${POSTGRES_DB:-$user}"
  pg_ctl -s -w -m fast stop
fi
if [ "$1" = postgres ]; then
  shift
  set -- postgres -c listen_addresses='*' "$@"
fi
exec "$@"
