//! Taking jobs: the claim is the only way from `queued` to `running`, and the only place where limits are decided.

use std::{sync::Arc, time::Duration};

use tokio::sync::Mutex;

use super::{
    job::{Job, JobKind},
    statements as st,
};
use crate::store::{Db, DbError, Row, sql};

/// How many queued jobs one claim looks at beyond those it takes, so that one client's backlog cannot hide another's.
const WINDOW: i64 = 200;

/// Who claims, and for how long.
#[derive(Clone, Debug)]
pub(super) struct Claimant {
    pub kind: JobKind,
    /// Unique for each start of a worker process.
    pub owner: String,
    pub lease: Duration,
    /// Held by whatever writes to several rows that this worker has leased: two such statements meeting the rows in
    /// different orders would lock each other out on Postgres.
    pub writing: Arc<Mutex<()>>,
}

impl Claimant {
    pub fn lease_ms(&self) -> i64 {
        i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX)
    }

    /// Whether there is something to claim. Takes no lock.
    pub async fn probe(&self, db: &Db) -> Result<bool, DbError> {
        let found = sql(st::PROBE).text(self.kind).int(db.now_ms()).fetch_optional(db, |_| Ok(())).await?;
        Ok(found.is_some())
    }

    /// Claims up to `most` jobs, best first.
    pub async fn claim(&self, db: &Db, most: usize) -> Result<Vec<Job>, DbError> {
        let mut tx = db.begin().await?;
        if sql(st::LOCK_QUEUE_FOR_CLAIM).text(self.kind).execute(&mut tx).await? == 0 {
            return Ok(Vec::new());
        }
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let now = db.now_ms();
        let mut rows = sql(st::CLAIM)
            .text(self.kind)
            .int(now)
            .int(most.saturating_add(WINDOW))
            .text(&self.owner)
            .int(now + self.lease_ms())
            .int(now)
            .int(most)
            .fetch_all(&mut tx, |r| Ok(((r.int("priority")?, r.int("ticket")?), self.read(r)?)))
            .await?;
        if let Some(highest) = rows.iter().map(|((_, ticket), _)| *ticket).max() {
            sql(st::ADVANCE_VTIME).int(highest).text(self.kind).execute(&mut tx).await?;
        }
        tx.commit().await?;
        rows.sort_by_key(|(order, _)| *order);
        Ok(rows.into_iter().map(|(_, job)| job).collect())
    }

    pub fn read(&self, row: &Row) -> Result<Job, DbError> {
        Ok(Job {
            id: row.parse("id")?,
            kind: self.kind,
            subject: row.parse("subject_id")?,
            client: row.parse("client_id")?,
            attempt: row.int("attempt")?,
            max_attempts: row.int("max_attempts")?,
            timeout: Duration::from_millis(row.int("timeout_ms")?.unsigned_abs()),
        })
    }
}
