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

use super::sql::sql;

static SQLITE_MIGRATIONS: Migrator = sqlx::migrate!("../migrations/sqlite");
static POSTGRES_MIGRATIONS: Migrator = sqlx::migrate!("../migrations/postgres");
/// Our own name, so that another user of sqlx in the same database does not meet our list.
const MIGRATIONS_TABLE: &str = "_byop_migrations";
/// How long a SQLite writer waits for another one, and a caller for a connection.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// What can go wrong between us and the database.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    #[error("the database URL must start with sqlite: or postgres:")]
    UnknownScheme,
    #[error("the database cannot be migrated")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    #[error("database failure")]
    Sqlx(#[from] sqlx::Error),
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

/// A pool of connections to one database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    pub(super) pool: Pool,
    /// Database clock minus ours, in milliseconds. Leases are compared across hosts, so the database's clock counts.
    skew_ms: Arc<AtomicI64>,
}

#[derive(Clone, Debug)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// An open transaction; dropped without [`Tx::commit`] it rolls back.
pub enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
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
            Pool::Sqlite(connect_sqlite(url).await?)
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            Pool::Postgres(connect_postgres(url).await?)
        } else {
            return Err(DbError::UnknownScheme);
        };
        let db = Self { pool, skew_ms: Arc::default() };
        db.measure_skew().await?;
        Ok(db)
    }

    async fn migrate(&self) -> Result<(), DbError> {
        match &self.pool {
            Pool::Sqlite(p) => ours(&SQLITE_MIGRATIONS).run(p).await?,
            Pool::Postgres(p) => ours(&POSTGRES_MIGRATIONS).run(p).await?,
        }
        Ok(())
    }

    /// The database's idea of now, in unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        local_now_ms() + self.skew_ms.load(Ordering::Relaxed)
    }

    /// Measures the database's clock against ours. Workers repeat it, since clocks drift.
    pub async fn measure_skew(&self) -> Result<(), DbError> {
        let Pool::Postgres(pool) = &self.pool else { return Ok(()) };
        let before = local_now_ms();
        let theirs: i64 =
            sqlx::query_scalar("select (extract(epoch from clock_timestamp()) * 1000)::bigint").fetch_one(pool).await?;
        let ours = before + (local_now_ms() - before) / 2;
        self.skew_ms.store(theirs - ours, Ordering::Relaxed);
        Ok(())
    }

    /// Begins a transaction that may read and then write.
    pub async fn begin(&self) -> Result<Tx, DbError> {
        Ok(match &self.pool {
            Pool::Sqlite(p) => Tx::Sqlite(p.begin_with("BEGIN IMMEDIATE").await?),
            Pool::Postgres(p) => Tx::Postgres(p.begin().await?),
        })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), DbError> {
        sql("select 1").execute(self).await.map(|_| ())
    }

    /// A listener on a Postgres channel; `None` on SQLite, which has no notifications.
    pub async fn listener(&self) -> Result<Option<PgListener>, DbError> {
        match &self.pool {
            Pool::Sqlite(_) => Ok(None),
            Pool::Postgres(p) => Ok(Some(PgListener::connect_with(p).await?)),
        }
    }

    /// Closes every connection; waits for those in use.
    pub async fn close(&self) {
        match &self.pool {
            Pool::Sqlite(p) => p.close().await,
            Pool::Postgres(p) => p.close().await,
        }
    }

    pub fn is_postgres(&self) -> bool {
        matches!(self.pool, Pool::Postgres(_))
    }
}

impl Tx {
    pub async fn commit(self) -> Result<(), DbError> {
        match self {
            Tx::Sqlite(t) => t.commit().await?,
            Tx::Postgres(t) => t.commit().await?,
        }
        Ok(())
    }

    /// Tells listeners on a Postgres channel when this transaction commits; nothing on SQLite, whose readers poll.
    pub async fn notify(&mut self, channel: &'static str, payload: &str) -> Result<(), DbError> {
        if matches!(self, Tx::Sqlite(_)) {
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

async fn connect_sqlite(url: &str) -> Result<SqlitePool, DbError> {
    let options = SqliteConnectOptions::from_str(url)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .pragma("journal_size_limit", "67108864")
        .pragma("temp_store", "memory");
    Ok(SqlitePoolOptions::new().max_connections(4).acquire_timeout(BUSY_TIMEOUT).connect_with(options).await?)
}

async fn connect_postgres(url: &str) -> Result<PgPool, DbError> {
    let options = PgConnectOptions::from_str(url)?.application_name("byop-engine");
    Ok(PgPoolOptions::new().max_connections(8).acquire_timeout(BUSY_TIMEOUT).connect_with(options).await?)
}

fn local_now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
