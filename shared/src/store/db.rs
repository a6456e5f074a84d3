//! The database handle: SQLite embedded, Postgres when one machine is not enough, behind one type.
//!
//! Invariant: a transaction that this module begins never fails later with "database is locked": on SQLite it takes
//! the write lock at once (`BEGIN IMMEDIATE`) and waits for it. Absent: no statement about any table but the migrations'.

use std::{
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sqlx::{
    PgPool, Postgres, Sqlite, SqlitePool, Transaction,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    bell::{Bells, Listener},
    sql::sql,
};
use crate::crash;

static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("../migrations/sqlite");
static POSTGRES_MIGRATIONS: Migrator = sqlx::migrate!("../migrations/postgres");
/// Our own name, so that another user of sqlx in the same database does not meet our list.
const MIGRATIONS_TABLE: &str = "_byop_migrations";
/// How long a SQLite writer waits for another one, and a caller for a connection.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a caller waits for a connection to Postgres. sqlx tries again at intervals of up to a fifth of it, so it
/// bounds how late the end of an outage is seen.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// A transaction of a process that was stopped or cut off must not hold its rows longer than a lease lives; then it is
/// rolled back, and its late commit fails.
const POSTGRES_OPTIONS: [(&str, &str); 3] =
    [("idle_in_transaction_session_timeout", "5s"), ("lock_timeout", "20s"), ("tcp_user_timeout", "10s")];

/// What can go wrong between us and the database.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    #[error("the database URL must start with sqlite: or postgres:")]
    UnknownScheme,
    #[error("the database cannot be migrated")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    #[error("database failure")]
    Sqlx(#[from] sqlx::Error),
    #[error("no notifications: {0}")]
    Bell(#[from] notify::Error),
    #[error("column {column} of a stored row is not valid: {value}")]
    Corrupt { column: &'static str, value: String },
}

impl DbError {
    /// Whether the statement was refused because a row with the same unique value exists.
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, DbError::Sqlx(sqlx::Error::Database(e)) if e.is_unique_violation())
    }

    /// Whether the statement was refused because a row it names does not exist, or is still named by another.
    pub fn is_foreign_key_violation(&self) -> bool {
        matches!(self, DbError::Sqlx(sqlx::Error::Database(e)) if e.is_foreign_key_violation())
    }
}

impl DbError {
    /// Whether the same may work soon: the database is locked, gone, or has no room for another connection. What it
    /// refuses for another reason, it refuses again.
    pub fn is_transient(&self) -> bool {
        use sqlx::Error as E;
        match self {
            DbError::Sqlx(E::Database(e)) => e.code().is_some_and(|code| is_transient_code(&code)),
            DbError::Sqlx(e) => {
                matches!(e, E::Io(_) | E::Tls(_) | E::Protocol(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed)
            }
            _ => false,
        }
    }
}

/// Five characters are a SQLSTATE of Postgres, fewer a result code of SQLite, whose lowest byte is the kind.
fn is_transient_code(code: &str) -> bool {
    match code.parse::<u32>() {
        // busy, locked, no memory, interrupted, I/O, full, cannot open, protocol
        Ok(code_of_sqlite) if code.len() < 5 => matches!(code_of_sqlite & 0xff, 5 | 6 | 7 | 9 | 10 | 13 | 14 | 15),
        // connection, transaction rolled back, resources, operator, system, left idle, lock not available, read only
        _ => ["08", "40", "53", "57", "58", "25P03", "55P03", "25006"].iter().any(|class| code.starts_with(class)),
    }
}

/// A pool of connections to one database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    pub(super) pool: Pool,
    /// Database clock minus ours, in milliseconds. Leases are compared across hosts, so the database's clock counts.
    skew_ms: Arc<AtomicI64>,
    /// A test's own clock.
    #[cfg(feature = "testing")]
    hands: Option<Arc<AtomicI64>>,
}

#[derive(Clone, Debug)]
pub(super) enum Pool {
    Sqlite(SqlitePool, Bells),
    Postgres(PgPool),
}

/// An open transaction; dropped without [`Tx::commit`] it rolls back.
pub enum Tx {
    Sqlite(Transaction<'static, Sqlite>, Bells),
    Postgres(Transaction<'static, Postgres>),
}

impl Db {
    /// Opens the database that `url` names (`sqlite:PATH` or `postgres://…`), creating a SQLite file that is missing,
    /// and brings its schema up to date.
    pub async fn open(url: &str) -> Result<Self, DbError> {
        let db = Self::connect(url).await?;
        db.migrate().await?;
        Ok(db)
    }

    /// Opens the database without touching its schema.
    pub async fn connect(url: &str) -> Result<Self, DbError> {
        let pool = if url.starts_with("sqlite:") {
            let (pool, bells) = connect_sqlite(url).await?;
            Pool::Sqlite(pool, bells)
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            Pool::Postgres(connect_postgres(url).await?)
        } else {
            return Err(DbError::UnknownScheme);
        };
        let db = Self {
            pool,
            skew_ms: Arc::default(),
            #[cfg(feature = "testing")]
            hands: None,
        };
        db.measure_skew().await?;
        Ok(db)
    }

    async fn migrate(&self) -> Result<(), DbError> {
        match &self.pool {
            Pool::Sqlite(p, _) => ours(&SQLITE_MIGRATIONS).run(p).await?,
            Pool::Postgres(p) => ours(&POSTGRES_MIGRATIONS).run(p).await?,
        }
        Ok(())
    }

    /// The database's idea of now, in unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        #[cfg(feature = "testing")]
        if let Some(hands) = &self.hands {
            return hands.load(Ordering::SeqCst);
        }
        local_now_ms() + self.skew_ms.load(Ordering::Relaxed)
    }

    /// The same database under a clock that a test moves.
    #[cfg(feature = "testing")]
    pub fn under(self, hands: Arc<AtomicI64>) -> Self {
        Self { hands: Some(hands), ..self }
    }

    /// Measures the database's clock against ours. Workers repeat it, since clocks drift. The best of some tries counts,
    /// and none that took long: the error is up to half of the time that a try took.
    pub async fn measure_skew(&self) -> Result<(), DbError> {
        const TRIES: usize = 3;
        const LONGEST_MS: i64 = 200;
        let Pool::Postgres(pool) = &self.pool else { return Ok(()) };
        let mut connection = pool.acquire().await?;
        let mut best: Option<(i64, i64)> = None;
        for _ in 0..TRIES {
            let before = local_now_ms();
            let theirs: i64 = sqlx::query_scalar("select (extract(epoch from clock_timestamp()) * 1000)::bigint")
                .fetch_one(&mut *connection)
                .await?;
            let took = local_now_ms() - before;
            if took <= best.map_or(LONGEST_MS, |(shortest, _)| shortest) {
                best = Some((took, theirs - (before + took / 2)));
            }
        }
        if let Some((_, skew)) = best {
            self.skew_ms.store(skew, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Begins a transaction that may read and then write.
    pub async fn begin(&self) -> Result<Tx, DbError> {
        Ok(match &self.pool {
            Pool::Sqlite(p, bells) => Tx::Sqlite(p.begin_with("BEGIN IMMEDIATE").await?, bells.clone()),
            Pool::Postgres(p) => Tx::Postgres(p.begin().await?),
        })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), DbError> {
        sql("select 1").execute(self).await.map(|_| ())
    }

    /// Hears what [`Tx::notify`] says on `channel` in any process, after it was committed.
    pub async fn listen(&self, channel: &'static str) -> Result<Listener, DbError> {
        match &self.pool {
            Pool::Sqlite(_, bells) => Ok(bells.listen(channel)?),
            Pool::Postgres(p) => {
                let mut listener = PgListener::connect_with(p).await?;
                listener.listen(channel).await?;
                Ok(Listener::Postgres(Box::new(listener)))
            }
        }
    }

    /// Closes every connection; waits for those in use.
    pub async fn close(&self) {
        match &self.pool {
            Pool::Sqlite(p, _) => p.close().await,
            Pool::Postgres(p) => p.close().await,
        }
    }

    /// Which database this is, for people.
    pub fn engine(&self) -> &'static str {
        match self.pool {
            Pool::Sqlite(..) => "SQLite",
            Pool::Postgres(_) => "Postgres",
        }
    }
}

impl Tx {
    pub async fn commit(self) -> Result<(), DbError> {
        crash::boundary("commit.before");
        let done = self.commit_now().await;
        crash::boundary("commit.after");
        done
    }

    async fn commit_now(self) -> Result<(), DbError> {
        match self {
            Tx::Sqlite(t, bells) => {
                t.commit().await?;
                bells.ring();
            }
            Tx::Postgres(t) => t.commit().await?,
        }
        Ok(())
    }

    /// Tells listeners in every process when this transaction commits. Only a hint that spares them waiting: a process
    /// killed right after its commit has told nobody on SQLite, so listeners look for themselves now and then.
    pub async fn notify(&mut self, channel: &'static str, payload: &'static str) -> Result<(), DbError> {
        if let Tx::Sqlite(_, bells) = self {
            bells.add(channel, payload);
            return Ok(());
        }
        sql("select pg_notify($1, $2)").text(channel).text(payload).execute(self).await.map(|_| ())
    }
}

fn ours(migrations: &Migrator) -> Migrator {
    let mut own = Migrator { migrations: migrations.migrations.clone(), ..Migrator::DEFAULT };
    own.dangerous_set_table_name(MIGRATIONS_TABLE);
    own
}

async fn connect_sqlite(url: &str) -> Result<(SqlitePool, Bells), DbError> {
    let options = SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .pragma("journal_size_limit", "67108864")
        .pragma("temp_store", "memory");
    let bells = Bells::beside(options.get_filename());
    let pool = SqlitePoolOptions::new().max_connections(4).acquire_timeout(BUSY_TIMEOUT).connect_with(options).await?;
    Ok((pool, bells))
}

async fn connect_postgres(url: &str) -> Result<PgPool, DbError> {
    let options = PgConnectOptions::from_str(url)?.application_name("byop-engine").options(POSTGRES_OPTIONS);
    Ok(PgPoolOptions::new().max_connections(8).acquire_timeout(ACQUIRE_TIMEOUT).connect_with(options).await?)
}

fn local_now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::is_transient_code;

    #[test]
    fn what_may_pass_and_what_stays() {
        for passes in ["5", "6", "261", "517", "10", "40001", "40P01", "53300", "57P01", "08006", "25006"] {
            assert!(is_transient_code(passes), "{passes}");
        }
        for stays in ["1", "19", "787", "2067", "23505", "23503", "42601", "22P02"] {
            assert!(!is_transient_code(stays), "{stays}");
        }
    }
}
