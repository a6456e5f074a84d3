//! One statement text, two databases: a statement with its values, run on a pool or inside a transaction.
//!
//! Invariant: a statement's text is a `&'static str`, so no value is ever written into it. Only text and integers
//! exist as values, because those mean the same on SQLite and Postgres.

use std::str::FromStr;

use sqlx::{Row as _, postgres::PgRow, sqlite::SqliteRow};

use super::db::{Db, DbError, Pool, Tx};
use crate::crash;

/// Where a statement runs: on its own through the pool, or inside a transaction.
pub enum On<'a> {
    Db(&'a Db),
    Tx(&'a mut Tx),
}

impl<'a> From<&'a Db> for On<'a> {
    fn from(db: &'a Db) -> Self {
        On::Db(db)
    }
}

impl<'a> From<&'a mut Tx> for On<'a> {
    fn from(tx: &'a mut Tx) -> Self {
        On::Tx(tx)
    }
}

impl On<'_> {
    /// The same place, for one of several statements.
    pub fn again(&mut self) -> On<'_> {
        match self {
            On::Db(db) => On::Db(db),
            On::Tx(tx) => On::Tx(tx),
        }
    }
}

/// A statement and the values of its `$1, $2, …`.
#[must_use]
pub struct Sql {
    text: &'static str,
    values: Vec<Value>,
}

enum Value {
    Text(Option<String>),
    Int(Option<i64>),
}

/// Starts a statement.
pub fn sql(text: &'static str) -> Sql {
    Sql { text, values: Vec::new() }
}

/// Runs `$run` over whichever connection `$on` names, with the values bound.
macro_rules! run {
    ($sql:expr, $on:expr, |$query:ident, $executor:ident| $run:expr, $wrap:ident) => {{
        let Sql { text, values } = $sql;
        macro_rules! bound {
            () => {{
                let mut query = sqlx::query(text);
                for value in values {
                    query = match value {
                        Value::Text(v) => query.bind(v),
                        Value::Int(v) => query.bind(v),
                    };
                }
                query
            }};
        }
        match $on {
            On::Db(Db { pool: Pool::Sqlite($executor, _), .. }) => {
                let $query = bound!();
                $wrap!(Sqlite, $run)
            }
            On::Db(Db { pool: Pool::Postgres($executor), .. }) => {
                let $query = bound!();
                $wrap!(Postgres, $run)
            }
            On::Tx(Tx::Sqlite(tx, _)) => {
                let ($query, $executor) = (bound!(), &mut **tx);
                $wrap!(Sqlite, $run)
            }
            On::Tx(Tx::Postgres(tx)) => {
                let ($query, $executor) = (bound!(), &mut **tx);
                $wrap!(Postgres, $run)
            }
        }
    }};
}

macro_rules! count {
    ($kind:ident, $run:expr) => {
        $run.map(|done| done.rows_affected())
    };
}
macro_rules! rows {
    ($kind:ident, $run:expr) => {
        $run.map(|rows| rows.into_iter().map(Row::$kind).collect::<Vec<_>>())
    };
}

impl Sql {
    pub fn text(self, value: impl ToString) -> Self {
        self.opt_text(Some(value))
    }

    /// Postgres has no text with a NUL, so one becomes the replacement character: what a remote program said must not
    /// stop a write.
    pub fn opt_text(mut self, value: Option<impl ToString>) -> Self {
        let plain = |text: String| if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text };
        self.values.push(Value::Text(value.map(|v| plain(v.to_string()))));
        self
    }

    pub fn int(mut self, value: i64) -> Self {
        self.values.push(Value::Int(Some(value)));
        self
    }

    pub fn opt_int(mut self, value: Option<i64>) -> Self {
        self.values.push(Value::Int(value));
        self
    }

    /// Runs the statement; returns how many rows it changed.
    pub async fn execute(self, on: impl Into<On<'_>>) -> Result<u64, DbError> {
        let on = on.into();
        // On its own a statement is durable when it returns; in a transaction its commit is.
        let alone = matches!(on, On::Db(_));
        if alone {
            crash::boundary("write.before");
        }
        let done = run!(self, on, |query, executor| query.execute(executor).await, count)?;
        if alone {
            crash::boundary("write.after");
        }
        Ok(done)
    }

    /// Runs the statement and reads every row.
    pub async fn fetch_all<T>(
        self,
        on: impl Into<On<'_>>,
        read: impl Fn(&Row) -> Result<T, DbError>,
    ) -> Result<Vec<T>, DbError> {
        let rows = run!(self, on.into(), |query, executor| query.fetch_all(executor).await, rows)?;
        rows.iter().map(read).collect()
    }

    /// Runs the statement and reads its first row, if any.
    pub async fn fetch_optional<T>(
        self,
        on: impl Into<On<'_>>,
        read: impl Fn(&Row) -> Result<T, DbError>,
    ) -> Result<Option<T>, DbError> {
        Ok(self.fetch_all(on, read).await?.into_iter().next())
    }

    /// Runs the statement and reads its only row.
    pub async fn fetch_one<T>(
        self,
        on: impl Into<On<'_>>,
        read: impl Fn(&Row) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        self.fetch_optional(on, read).await?.ok_or(DbError::Sqlx(sqlx::Error::RowNotFound))
    }
}

/// A row of either database. Columns are named, as in the statement's select or returning list.
pub enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    pub fn text(&self, column: &'static str) -> Result<String, DbError> {
        Ok(match self {
            Row::Sqlite(r) => r.try_get(column)?,
            Row::Postgres(r) => r.try_get(column)?,
        })
    }

    pub fn opt_text(&self, column: &'static str) -> Result<Option<String>, DbError> {
        Ok(match self {
            Row::Sqlite(r) => r.try_get(column)?,
            Row::Postgres(r) => r.try_get(column)?,
        })
    }

    pub fn int(&self, column: &'static str) -> Result<i64, DbError> {
        Ok(match self {
            Row::Sqlite(r) => r.try_get(column)?,
            Row::Postgres(r) => r.try_get(column)?,
        })
    }

    pub fn opt_int(&self, column: &'static str) -> Result<Option<i64>, DbError> {
        Ok(match self {
            Row::Sqlite(r) => r.try_get(column)?,
            Row::Postgres(r) => r.try_get(column)?,
        })
    }

    /// A column in its domain type (an id, a status), parsed from its text.
    pub fn parse<T: FromStr>(&self, column: &'static str) -> Result<T, DbError> {
        let value = self.text(column)?;
        value.parse().map_err(|_| DbError::Corrupt { column, value })
    }

    /// As [`Row::parse`], for a column that may be null.
    pub fn opt_parse<T: FromStr>(&self, column: &'static str) -> Result<Option<T>, DbError> {
        let Some(value) = self.opt_text(column)? else { return Ok(None) };
        value.parse().map(Some).map_err(|_| DbError::Corrupt { column, value })
    }
}
