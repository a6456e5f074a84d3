//! Logs of builds, servers and deployments, as numbered segments of whole lines.
//!
//! Invariants: segments of one entity are numbered from 1 without gaps, over all its attempts; the sum of their bytes
//! is bounded, and the last segment says so when something was left out; only the holder of the fence appends. Absent:
//! redaction and the removal of control characters ([`crate::redact`] does that before a line comes here).

use uuid::Uuid;

use super::{Db, DbError, Fence, On, Row, sql};
use crate::domain::ClientId;

/// A segment holds about this many bytes, so that readers see lines soon and rows stay small.
const SEGMENT_BYTES: usize = 32 * 1024;
const TRUNCATED: &str = "[log truncated: it reached its size limit]";

/// Whose log is written, by whom, and how long it may get.
#[derive(Clone, Copy, Debug)]
pub struct LogTarget {
    pub fence: Fence,
    pub client: ClientId,
    pub entity: Uuid,
    pub max_bytes: u64,
}

/// What became of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    Written,
    /// The log is full; the rest is left out.
    Full,
    /// Another worker has the job.
    Lost,
}

/// Some lines of a log, joined by newlines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub seq: i64,
    pub at: i64,
    pub text: String,
}

/// Appends lines (without their newlines) in as few segments as fit.
pub async fn append<L: AsRef<str>>(db: &Db, to: &LogTarget, lines: &[L]) -> Result<Appended, DbError> {
    for text in segments(lines) {
        match append_segment(db, to, &text).await? {
            Appended::Written => {}
            other => return Ok(other),
        }
    }
    Ok(Appended::Written)
}

/// Segments after the one numbered `after` (0 for all), oldest first.
pub async fn list_after(
    on: impl Into<On<'_>>,
    client: ClientId,
    entity: impl Into<Uuid>,
    after: i64,
    limit: i64,
) -> Result<Vec<Segment>, DbError> {
    sql("select seq, at, text from log_segments where entity_id = $1 and client_id = $2 and seq > $3
         order by seq limit $4")
    .text(entity.into())
    .text(client)
    .int(after)
    .int(limit)
    .fetch_all(on, read)
    .await
}

/// The last `count` segments, oldest first.
pub async fn last(
    on: impl Into<On<'_>>,
    client: ClientId,
    entity: impl Into<Uuid>,
    count: i64,
) -> Result<Vec<Segment>, DbError> {
    let mut segments = sql("select seq, at, text from log_segments where entity_id = $1 and client_id = $2
         order by seq desc limit $3")
    .text(entity.into())
    .text(client)
    .int(count)
    .fetch_all(on, read)
    .await?;
    segments.reverse();
    Ok(segments)
}

/// The number of the last segment; 0 when there is none.
pub async fn last_seq(on: impl Into<On<'_>>, client: ClientId, entity: impl Into<Uuid>) -> Result<i64, DbError> {
    sql("select coalesce(max(seq), 0) as seq from log_segments where entity_id = $1 and client_id = $2")
        .text(entity.into())
        .text(client)
        .fetch_one(on, |r| r.int("seq"))
        .await
}

/// Whether a job is on its way that may append: queued, running, or ended without its handler having been told.
pub async fn has_writer(on: impl Into<On<'_>>, client: ClientId, entity: impl Into<Uuid>) -> Result<bool, DbError> {
    let found = sql("select id from jobs where subject_id = $1 and client_id = $2
         and kind <> 'observe' and (state in ('queued', 'running') or abandoned = 1) limit 1");
    Ok(found.text(entity.into()).text(client).fetch_optional(on, |r| r.text("id")).await?.is_some())
}

fn segments<L: AsRef<str>>(lines: &[L]) -> Vec<String> {
    let mut segments: Vec<String> = Vec::new();
    for line in lines {
        let line = line.as_ref();
        match segments.last_mut() {
            Some(open) if open.len() + line.len() < SEGMENT_BYTES => {
                open.push('\n');
                open.push_str(line);
            }
            _ => segments.push(line.to_owned()),
        }
    }
    segments
}

/// One statement: it numbers the segment, checks the fence, and writes the closing line in place of what does not fit.
async fn append_segment(db: &Db, to: &LogTarget, text: &str) -> Result<Appended, DbError> {
    let max = i64::try_from(to.max_bytes).unwrap_or(i64::MAX - 1);
    // One more for the newline that a reader puts between segments.
    let bytes = i64::try_from(text.len()).unwrap_or(i64::MAX - 1) + 1;
    let total = sql("
        insert into log_segments (entity_id, seq, client_id, at, text, total)
        select $1, last.seq + 1, $2, $3,
               case when last.total + $4 > $5 then $6 else $7 end,
               case when last.total + $4 > $5 then $5 + 1 else last.total + $4 end
        from (select coalesce((select seq from log_segments where entity_id = $1 order by seq desc limit 1), 0) as seq,
                     coalesce((select total from log_segments where entity_id = $1 order by seq desc limit 1), 0)
                       as total) as last
        where last.total <= $5
          and exists (select 1 from jobs where id = $8 and attempt = $9 and state = 'running')
        returning total")
    .text(to.entity)
    .text(to.client)
    .int(db.now_ms())
    .int(bytes)
    .int(max)
    .text(TRUNCATED)
    .text(text)
    .text(to.fence.job)
    .int(to.fence.attempt)
    .fetch_optional(db, |r| r.int("total"))
    .await;
    match total {
        Ok(Some(total)) => Ok(if total > max { Appended::Full } else { Appended::Written }),
        Ok(None) => lost_or_full(db, to).await,
        // On Postgres two attempts can number a segment at the same time; the late one is the one without the fence.
        Err(e) if e.is_unique_violation() => lost_or_full(db, to).await,
        Err(e) => Err(e),
    }
}

async fn lost_or_full(db: &Db, to: &LogTarget) -> Result<Appended, DbError> {
    let held = sql("select attempt from jobs where id = $1 and attempt = $2 and state = 'running'")
        .text(to.fence.job)
        .int(to.fence.attempt)
        .fetch_optional(db, |r| r.int("attempt"))
        .await?;
    Ok(if held.is_some() { Appended::Full } else { Appended::Lost })
}

fn read(row: &Row) -> Result<Segment, DbError> {
    Ok(Segment { seq: row.int("seq")?, at: row.int("at")?, text: row.text("text")? })
}
