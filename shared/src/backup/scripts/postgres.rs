//! PostgreSQL: `pg_dump` in its custom format, from a container of its own beside the service, of the service's image.
//!
//! Invariant: what a copy is restored into is a database of its own; the one that lives is replaced by renaming, in one
//! transaction, and the mark of the restore comes with the new one. Absent: roles and settings of the cluster, which are in
//! no database; what is restored belongs to the service's user.

use super::{CLEAR, Scripts};

pub(super) const SCRIPTS: Scripts = Scripts {
    extension: "pgdump",
    dump: DUMP,
    test_begin: TEST_BEGIN,
    test_fill: TEST_FILL,
    test_look: TEST_LOOK,
    clear: CLEAR,
    restore_begin: RESTORE_BEGIN,
    restore_fill: RESTORE_FILL,
    restore_swap: RESTORE_SWAP,
    restore_undo: RESTORE_UNDO,
};

/// The password goes from the service's container to the other one by the environment. Nothing of the copy is logged.
const DUMP: &str = r#"set -eu
c=$(docker ps -q --filter "label=byop.service=$1" | head -n 1)
[ -n "$c" ] || exit 69
image=$(docker inspect -f '{{.Image}}' "$c")
PGPASSWORD=$(docker inspect -f '{{range .Config.Env}}{{println .}}{{end}}' "$c" | sed -n 's/^POSTGRES_PASSWORD=//p')
export PGPASSWORD
exec docker run --rm --name "byop-dump-$2" --label "byop.backup=$2" --log-driver none --network "container:$c" --env PGPASSWORD \
  --memory 512m --memory-swap 512m --cpus 1 --pids-limit 64 --cap-drop ALL --security-opt no-new-privileges --read-only \
  --entrypoint pg_dump "$image" -Fc -h 127.0.0.1 -U app -d app
"#;

const TEST_BEGIN: &str = r#"set -eu
c=$(docker ps -q --filter "label=byop.service=$1" | head -n 1)
[ -n "$c" ] || exit 69
need=$(docker exec "$c" psql -XAtq -U app -d postgres -c "select pg_database_size('app')")
free=$(df -P -k "$(docker info -f '{{.DockerRootDir}}')" | awk 'NR == 2 { printf "%.0f", $(NF-2) * 1024 }')
[ "$((need + need / 4 + $3))" -le "$free" ] || exit 73
image=$(docker inspect -f '{{.Image}}' "$c")
POSTGRES_PASSWORD=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
export POSTGRES_PASSWORD
docker run -d --name "byop-test-$2" --label "byop.backup=$2" --network none --memory 1g --memory-swap 1g --cpus 1 --pids-limit 256 \
  --cap-drop ALL --cap-add CHOWN --cap-add DAC_OVERRIDE --cap-add FOWNER --cap-add SETGID --cap-add SETUID \
  --security-opt no-new-privileges --log-opt max-size=1m --env POSTGRES_PASSWORD --env POSTGRES_USER=app --env POSTGRES_DB=app \
  --env PGDATA=/var/lib/postgresql/data/main "$image" >/dev/null
i=0
until docker exec "byop-test-$2" pg_isready -q -h 127.0.0.1 -U app -d app; do
  i=$((i + 1))
  [ $i -lt 180 ] || { docker logs --tail 5 "byop-test-$2" >&2; exit 70; }
  sleep 1
done
"#;

const TEST_FILL: &str = r#"docker exec -i "byop-test-$2" pg_restore -U app -d app --exit-on-error --no-owner --no-privileges && exit 0
[ "$(docker inspect -f '{{.State.Running}}' "byop-test-$2")" = true ] && exit 65
exit 70
"#;

/// Reads every row: a count asks for each.
const TEST_LOOK: &str = r#"docker exec -i "byop-test-$2" psql -XAtq -F ' ' -v ON_ERROR_STOP=1 -U app -d app <<'END' && exit 0
create function pg_temp.all_rows() returns bigint language plpgsql as $$
declare
  one record;
  few bigint;
  all_of_them bigint := 0;
begin
  for one in select schemaname, tablename from pg_tables where schemaname not in ('pg_catalog', 'information_schema') loop
    execute format('select count(*) from %I.%I', one.schemaname, one.tablename) into few;
    all_of_them := all_of_them + few;
  end loop;
  return all_of_them;
end $$;
select (select count(*) from pg_tables where schemaname not in ('pg_catalog', 'information_schema')), pg_temp.all_rows();
END
[ "$(docker inspect -f '{{.State.Running}}' "byop-test-$2")" = true ] && exit 65
exit 70
"#;

/// A database that is being filled by an attempt before this one is dropped with that one's connection. One that died in the
/// change has left the app without its database, which is not to wait until the copy is there once more.
const RESTORE_BEGIN: &str = r#"set -eu
c=$(docker ps -q --filter "label=byop.service=$1" | head -n 1)
[ -n "$c" ] || exit 69
sql() { docker exec -i "$c" psql -XAtq -v ON_ERROR_STOP=1 -v "fresh=restore_$2" -v "before=before_$2" -U app -d postgres; }
mark=$(sql "$@" <<'END'
select coalesce(shobj_description(oid, 'pg_database'), '') from pg_database where datname = 'app';
END
)
if [ "$mark" = "restored:$2" ]; then
  sql "$@" <<'END'
drop database if exists :"before" with (force);
END
  echo done
  exit 0
fi
need=$(docker exec "$c" psql -XAtq -U app -d postgres -c "select pg_database_size('app')")
free=$(df -P -k "$(docker info -f '{{.DockerRootDir}}')" | awk 'NR == 2 { printf "%.0f", $(NF-2) * 1024 }')
[ "$((need + need / 4 + $3))" -le "$free" ] || exit 73
sql "$@" <<'END'
alter database app with allow_connections true;
drop database if exists :"fresh" with (force);
create database :"fresh" template template0;
END
"#;

const RESTORE_FILL: &str = r#"set -eu
c=$(docker ps -q --filter "label=byop.service=$1" | head -n 1)
[ -n "$c" ] || exit 69
docker exec -i "$c" pg_restore -U app -d "restore_$2" --exit-on-error --no-owner --no-privileges && exit 0
[ "$(docker inspect -f '{{.State.Running}}' "$c")" = true ] && exit 65
exit 70
"#;

/// Connections of the app end here; what it opens next reaches the restored database.
const RESTORE_SWAP: &str = r#"set -eu
c=$(docker ps -q --filter "label=byop.service=$1" | head -n 1)
[ -n "$c" ] || exit 69
sql() { docker exec -i "$c" psql -XAtq -v ON_ERROR_STOP=1 -v "fresh=restore_$2" -v "before=before_$2" -v "mark=restored:$2" \
  -U app -d postgres; }
i=0
until sql "$@" <<'END'
alter database app with allow_connections false;
select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = 'app';
begin;
alter database app rename to :"before";
alter database :"fresh" rename to app;
comment on database app is :'mark';
commit;
END
do
  i=$((i + 1))
  [ $i -lt 20 ] || { sql "$@" <<'END'
alter database app with allow_connections true;
END
    exit 70; }
  sleep 1
done
sql "$@" <<'END'
drop database if exists :"before" with (force);
END
"#;

const RESTORE_UNDO: &str = r#"set -eu
c=$(docker ps -q --filter "label=byop.service=$1" | head -n 1)
[ -n "$c" ] || exit 69
docker exec -i "$c" psql -XAtq -v ON_ERROR_STOP=1 -v "fresh=restore_$2" -U app -d postgres <<'END'
alter database app with allow_connections true;
drop database if exists :"fresh" with (force);
END
"#;
