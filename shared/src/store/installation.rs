//! Which installation of the engine a database belongs to.
//!
//! Invariant: the row is made once, by whichever process comes first, and never changes but for the lineage, which goes
//! up with each sweep. Absent: the mark outside the database that the lineage is compared with.

use super::{Db, DbError, sql};
use crate::secrets::{random_token, token_hash};

/// The installation's marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// Ten hexadecimal digits in the name of everything that is made at clouds.
    pub install: String,
    /// `<line>.<number>`, going up; the mark outside is never ahead of it unless the database was restored or copied.
    pub lineage: String,
}

/// The marks of this database, made now if there are none.
pub async fn marks(db: &Db) -> Result<Installation, DbError> {
    let read = || {
        sql("select install, lineage from installation where one = 1")
            .fetch_optional(db, |r| Ok(Installation { install: r.text("install")?, lineage: r.text("lineage")? }))
    };
    if let Some(found) = read().await? {
        return Ok(found);
    }
    let (install, lineage) = (token_hash(&random_token()), token_hash(&random_token()));
    sql("insert into installation (one, install, lineage, created_at) values (1, $1, $2, $3) on conflict (one) do nothing")
        .text(&install[..10])
        .text(format!("{}.0", &lineage[..16]))
        .int(db.now_ms())
        .execute(db)
        .await?;
    read().await?.ok_or(DbError::Sqlx(sqlx::Error::RowNotFound))
}

/// Moves the lineage on from what was just read. False when somebody else has.
pub async fn advance_lineage(db: &Db, from: &str, to: &str) -> Result<bool, DbError> {
    let move_on = sql("update installation set lineage = $1 where one = 1 and lineage = $2");
    Ok(move_on.text(to).text(from).execute(db).await? == 1)
}
