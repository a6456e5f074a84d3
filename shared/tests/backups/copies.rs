//! Whole copies of a real PostgreSQL, with this machine's Docker engine as the server.

use std::time::Duration;

use shared::{
    backup::{Copy, Key, Local, Scripts, Server, Storage, new_key, scripts},
    domain::{BackupKind, Proof},
    failure::Failure,
};
use uuid::Uuid;

use crate::bucket::bucket;

pub const LIMIT: Duration = Duration::from_secs(120);
const START: &str = r#"set -eu
docker run -d --name "service-$1" --label "byop.service=$1" --network none --env POSTGRES_USER=app --env POSTGRES_DB=app \
  --env POSTGRES_PASSWORD=secret1 --env PGDATA=/var/lib/postgresql/data/main postgres:17 >/dev/null
i=0
until docker exec "service-$1" pg_isready -q -h 127.0.0.1 -U app -d app; do
  i=$((i + 1)); [ $i -lt 100 ] || exit 1; sleep 1
done
"#;
const SQL: &str = r#"docker exec "service-$1" psql -XAtq -v ON_ERROR_STOP=1 -U app -d app -c "$2""#;

/// A database that runs, and a bucket.
struct World {
    service: String,
    storage: Storage,
    key: Key,
}

impl Drop for World {
    fn drop(&mut self) {
        let script = r#"docker rm -fv "service-$1"; docker ps -aq --filter "label=byop.backup" --filter "name=$1" | xargs -r docker rm -fv"#;
        let _ = std::process::Command::new("sh").args(["-c", script, "byop", &self.service]).output();
    }
}

impl World {
    async fn start(test: &str) -> Option<Self> {
        let storage = bucket(test).await?;
        let there = Local.ask("docker image inspect postgres:17 >/dev/null", &[], LIMIT).await;
        if let Err(e) = there {
            eprintln!("SKIPPED backups: {test}: no engine with the image postgres:17: {e}");
            return None;
        }
        let world = Self { service: Uuid::new_v4().to_string(), storage, key: new_key() };
        Local.ask(START, &[&world.service], LIMIT).await.expect("it starts");
        world
            .sql("create table goods (name text); insert into goods select 'g' || n from generate_series(1, 1000) n")
            .await;
        world.sql(r#"create table "Odd ""name" (v bytea); insert into "Odd ""name" values ('\x00ff')"#).await;
        Some(world)
    }

    async fn sql(&self, statement: &str) -> String {
        Local.ask(SQL, &[&self.service, statement], LIMIT).await.expect("it runs").trim().to_owned()
    }

    fn copy(&self, id: &str) -> Copy<'_> {
        let scripts = scripts(BackupKind::Postgres).unwrap();
        Copy { server: &Local, storage: &self.storage, scripts, source: self.service.clone(), id: id.into(), free: 0 }
    }

    /// The same with another way to dump.
    fn dumping(&self, id: &str, dump: &'static str) -> Copy<'_> {
        let copy = self.copy(id);
        Copy { scripts: Box::leak(Box::new(Scripts { dump, ..*copy.scripts })), ..copy }
    }

    /// Containers that bear a copy's id.
    async fn left(&self, id: &str) -> String {
        let list = r#"docker ps -aq --filter "label=byop.backup=$1""#;
        Local.ask(list, &[id], LIMIT).await.unwrap().trim().to_owned()
    }
}

pub fn id() -> String {
    Uuid::new_v4().simple().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_made_tried_out_and_put_back() {
    let Some(world) = World::start("a_copy_is_made_tried_out_and_put_back").await else { return };
    // Enough for more than one part, which does not compress.
    world.sql("create table noise as select n, sha512(n::text::bytea) || sha512((-n)::text::bytea) as b from generate_series(1, 200000) n").await;
    let (first, copy) = (id(), |id: &str| world.copy(id));
    let uploaded = copy(&first).upload("shop/x-", 1, &world.key.recipient).await.expect("copied");
    assert_eq!(uploaded.key, "shop/x-1.pgdump.age");
    assert!(uploaded.bytes > 20 << 20, "{uploaded:?}");
    let proof = copy(&first).test(&uploaded.key, &world.key.identity).await.expect("good");
    assert_eq!(proof, Proof { things: 3, contents: 201_001 });
    assert_eq!(world.left(&first).await, "", "the scratch container is gone");

    world.sql("delete from goods; create table later (n int)").await;
    let restore = id();
    world.copy(&restore).restore(&uploaded.key, &world.key.identity).await.expect("restored");
    assert_eq!(world.sql("select count(*) from goods").await, "1000");
    assert_eq!(world.sql("select to_regclass('later') is null").await, "t");
    // A later attempt of the same restore leaves alone what came after it.
    world.sql("insert into goods values ('new')").await;
    world.copy(&restore).restore(&uploaded.key, &world.key.identity).await.expect("done");
    assert_eq!(world.sql("select count(*) from goods").await, "1001");
    assert_eq!(
        world.sql("select count(*) from pg_database where datname like '%estore%' or datname like 'before%'").await,
        "0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_attempt_left_is_removed_by_the_next() {
    let Some(world) = World::start("what_a_killed_attempt_left_is_removed_by_the_next").await else { return };
    let id = id();
    // An attempt that ended between its object's beginning and its end, and left a container that still dumps.
    let begun = world.copy(&id);
    let left = r#"docker run -d --name "byop-dump-$1" --label "byop.backup=$1" --entrypoint sleep postgres:17 1000"#;
    Local.ask(left, &[&id], LIMIT).await.expect("it runs");
    world.sql("create table slow (n int)").await;
    let stopped = tokio::time::timeout(Duration::from_millis(300), begun.upload("shop/y-", 1, &world.key.recipient));
    drop(stopped.await);
    let uploaded = world.copy(&id).upload("shop/y-", 2, &world.key.recipient).await.expect("copied");
    assert_eq!(world.storage.objects("shop/y-").await.unwrap(), [uploaded.key]);
    assert!(world.storage.uploads("shop/y-").await.unwrap().is_empty());
    assert_eq!(world.left(&id).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_not_good_is_found_out_and_restores_nothing() {
    let Some(world) = World::start("a_copy_that_is_not_good_is_found_out_and_restores_nothing").await else { return };
    let id = id();
    let uploaded = world.copy(&id).upload("shop/z-", 1, &world.key.recipient).await.expect("copied");
    // Another key does not open it.
    let other = new_key();
    let Err(Failure::Permanent { code, .. }) = world.copy(&id).test(&uploaded.key, &other.identity).await else {
        panic!("it was opened")
    };
    assert_eq!(code, "backup_unreadable");
    // Well encrypted, and no dump.
    let broken = world.dumping(&id, "head -c 4000 /dev/zero");
    let wrong = broken.upload("shop/w-", 1, &world.key.recipient).await.expect("stored");
    for outcome in [
        world.copy(&id).test(&wrong.key, &world.key.identity).await.map(|_| ()),
        world.copy(&id).restore(&wrong.key, &world.key.identity).await,
    ] {
        assert!(matches!(outcome, Err(Failure::Permanent { code: "backup_wrong", .. })), "{outcome:?}");
    }
    world.copy(&id).undo_restore().await.expect("undone");
    assert_eq!(world.sql("select count(*) from goods").await, "1000");
    assert_eq!(world.left(&id).await, "");
    // An object that is gone.
    world.storage.remove("shop/z-", None).await.expect("removed");
    let gone = world.copy(&id).test(&uploaded.key, &world.key.identity).await;
    assert!(matches!(gone, Err(Failure::Permanent { code: "object_missing", .. })), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_breaks_off_leaves_no_object() {
    let Some(world) = World::start("a_dump_that_breaks_off_leaves_no_object").await else { return };
    let id = id();
    let broken = world.dumping(&id, r#"head -c 20000000 /dev/urandom; echo 'connection lost' >&2; exit 3"#);
    let Err(Failure::Transient { message, .. }) = broken.upload("shop/v-", 1, &world.key.recipient).await else {
        panic!("it was stored")
    };
    assert!(message.contains("connection lost"), "{message}");
    assert!(world.storage.objects("shop/v-").await.unwrap().is_empty());
    assert!(world.storage.uploads("shop/v-").await.unwrap().is_empty());
    let unknown = Copy { source: "nothing".into(), ..world.copy(&id) };
    let down = unknown.upload("shop/u-", 1, &world.key.recipient).await;
    assert!(matches!(down, Err(Failure::Transient { code: "service_not_running", .. })), "{down:?}");
}

/// Whoever dies in the change leaves the app without its database: the next attempt gives it back at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_a_killed_restore_closed_is_opened_by_the_next() {
    let test = "a_database_that_a_killed_restore_closed_is_opened_by_the_next";
    let Some(world) = World::start(test).await else { return };
    let close = r#"docker exec "service-$1" psql -XAtq -U app -d postgres -c 'alter database app with allow_connections false'"#;
    let closed = || async { Local.ask(close, &[&world.service], LIMIT).await.expect("closed") };
    let reach = async || Local.ask(SQL, &[&world.service, "select count(*) from goods"], LIMIT).await;
    let id = id();
    closed().await;
    assert!(reach().await.is_err());
    let begin = world.copy(&id).scripts.restore_begin;
    Local.ask(begin, &[&world.service, &id, "0"], LIMIT).await.expect("begun");
    assert_eq!(reach().await.expect("it is open").trim(), "1000");
    closed().await;
    world.copy(&id).undo_restore().await.expect("undone");
    assert_eq!(reach().await.expect("it is open").trim(), "1000");
}
