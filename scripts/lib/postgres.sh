#!/bin/bash
# A private Postgres for tests: postgres.sh start | stop
#
# The cluster lies in $BYOP_STATE/pg and listens on 127.0.0.1 (BYOP_PG_PORT, default 54329)
# without passwords. BYOP_PG_FSYNC=off trades safety for speed. `start` prints the URL.
set -euo pipefail
LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for part in layout steps packages; do
  # shellcheck source=/dev/null
  . "$LIB/$part.sh"
done
PG=$BYOP_STATE/pg
PORT=${BYOP_PG_PORT:-54329}
URL=postgres://byop@127.0.0.1:$PORT/byop

pg_bin() {
  local dirs=(/usr/lib/postgresql/*/bin)
  [ -x "${dirs[-1]}/initdb" ] && printf '%s' "${dirs[-1]}"
}

# Debian makes a cluster of its own when the package comes; this says not to.
install_postgres() {
  local conf=/etc/postgresql-common/createcluster.conf
  pg_bin >/dev/null && return 0
  if [ ! -e $conf ]; then
    mkdir -p "$(dirname $conf)"
    echo 'create_main_cluster = false' >$conf
  fi
  apt_install postgresql
}

# Postgres refuses to be root, and the state folder may lie where only root can look. In a
# mount namespace of its own the folder is visible at /mnt.
# shellcheck disable=SC2016  # the inner shell expands its own arguments
AS_POSTGRES=(unshare --mount -- sh -c
  'mount --bind "$1" /mnt && shift && exec setpriv --reuid postgres --regid postgres --clear-groups "$@"'
  sh "$PG")

make_cluster() {
  [ ! -s "$PG/data/PG_VERSION" ] || return 0
  rm -rf "$PG"
  mkdir -p "$PG"
  chmod 755 "$PG"
  chown postgres: "$PG"
  "${AS_POSTGRES[@]}" "$(pg_bin)/initdb" --no-sync -A trust -U byop -E UTF8 --locale=C.UTF-8 /mnt/data >"$(log_file initdb)" 2>&1 ||
    die "initdb failed, see $(log_file initdb)"
}

sql() { "$(pg_bin)/psql" -qAtX -h 127.0.0.1 -p "$PORT" -U byop -d "$1" -c "$2"; }

start() {
  need_root
  mkdir -p "$BYOP_STATE/log"
  install_postgres
  if ! running postgres; then
    make_cluster
    rm -f "$PG/data/postmaster.pid"
    spawn postgres "${AS_POSTGRES[@]}" "$(pg_bin)/postgres" -D /mnt/data -p "$PORT" \
      -c listen_addresses=127.0.0.1 -c unix_socket_directories=/mnt -c "fsync=${BYOP_PG_FSYNC:-on}" \
      -c max_connections=200 -c jit=off
    wait_until 30 sql postgres 'select 1' || die "Postgres did not start, see $(log_file postgres)"
    [ "$(sql postgres "select count(*) from pg_database where datname = 'byop'")" = 1 ] ||
      sql postgres 'create database byop'
  fi
  echo "export BYOP_TEST_POSTGRES_URL=$URL"
}

case ${1:-} in
  start) start ;;
  # SIGINT ends the sessions and closes the store in order.
  stop) stop postgres 20 INT ;;
  *) die "usage: postgres.sh start|stop" ;;
esac
