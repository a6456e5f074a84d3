//! What stands in an account at a cloud and should not, or should stand there and does not.
//!
//! Invariant: one row for one thing; it is seen again and again until it has ended. Absent: what is found (worker-provision's
//! `sweep`), and whether anything is done about it.

use super::{Db, DbError, Fence, On, Row, sql};
use crate::domain::{AccountId, ClientId, FindingId, ServerId};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, client_id, account_id, verdict, region, remote_id, name, server_id, hourly_micros, currency,
                    first_seen_at, last_seen_at, looks, delete_asked_at, ended_at
             from findings ",
            $rest
        )
    };
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It bears our name and no server wants it.
    Orphan,
    /// A second machine of one server.
    Duplicate,
    /// A server's machine that the cloud does not show any more.
    Zombie,
}

impl Verdict {
    pub const ALL: &'static [Self] = &[Self::Orphan, Self::Duplicate, Self::Zombie];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Orphan => "orphan",
            Self::Duplicate => "duplicate",
            Self::Zombie => "zombie",
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Verdict {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.iter().copied().find(|v| v.as_str() == text).ok_or(())
    }
}

/// Something found now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub verdict: Verdict,
    pub region: String,
    pub remote_id: String,
    pub name: String,
    pub server: Option<ServerId>,
    /// What it costs an hour, in millionths of the currency's unit.
    pub price: Option<(i64, String)>,
}

/// A stored finding.
#[derive(Clone, Debug)]
pub struct Finding {
    pub id: FindingId,
    pub client: ClientId,
    pub account: AccountId,
    pub seen: Seen,
    pub first_seen_at: i64,
    pub last_seen_at: i64,
    /// How often it was found.
    pub looks: i64,
    pub delete_asked_at: Option<i64>,
    pub ended_at: Option<i64>,
}

fn read(r: &Row) -> Result<Finding, DbError> {
    Ok(Finding {
        id: r.parse("id")?,
        client: r.parse("client_id")?,
        account: r.parse("account_id")?,
        seen: Seen {
            verdict: r.parse("verdict")?,
            region: r.text("region")?,
            remote_id: r.text("remote_id")?,
            name: r.text("name")?,
            server: r.opt_parse("server_id")?,
            price: r.opt_int("hourly_micros")?.zip(r.opt_text("currency")?),
        },
        first_seen_at: r.int("first_seen_at")?,
        last_seen_at: r.int("last_seen_at")?,
        looks: r.int("looks")?,
        delete_asked_at: r.opt_int("delete_asked_at")?,
        ended_at: r.opt_int("ended_at")?,
    })
}

/// Notes what was found, for the first time or again. False when the fence does not hold.
pub async fn note(db: &Db, fence: Fence, client: ClientId, account: AccountId, seen: &Seen) -> Result<bool, DbError> {
    let note = sql(
        "insert into findings (id, client_id, account_id, verdict, region, remote_id, name, server_id, hourly_micros,
                               currency, first_seen_at, last_seen_at)
         select $1, $2, $3, $4, $5, $6, $7, $8, cast($9 as bigint), $10, cast($11 as bigint), cast($11 as bigint)
         where exists (select 1 from jobs where id = $12 and attempt = $13 and state = 'running')
         on conflict (account_id, region, remote_id, verdict) do update set
           last_seen_at = excluded.last_seen_at, looks = findings.looks + 1, hourly_micros = excluded.hourly_micros,
           first_seen_at = case when findings.ended_at is null then findings.first_seen_at else excluded.first_seen_at end,
           ended_at = null",
    );
    let with = note.text(FindingId::new()).text(client).text(account).text(seen.verdict).text(&seen.region);
    let with = with.text(&seen.remote_id).text(&seen.name).opt_text(seen.server);
    let with = with.opt_int(seen.price.as_ref().map(|p| p.0)).opt_text(seen.price.as_ref().map(|p| &p.1));
    Ok(with.int(db.now_ms()).text(fence.job).int(fence.attempt).execute(db).await? == 1)
}

/// Ends what a complete look into a region, begun at `began`, did not find again.
pub async fn end_unseen(db: &Db, fence: Fence, account: AccountId, region: &str, began: i64) -> Result<u64, DbError> {
    sql("update findings set ended_at = $1 where account_id = $2 and region = $3 and last_seen_at < $4 and ended_at is null
           and exists (select 1 from jobs where id = $5 and attempt = $6 and state = 'running')")
    .int(db.now_ms())
    .text(account)
    .text(region)
    .int(began)
    .text(fence.job)
    .int(fence.attempt)
    .execute(db)
    .await
}

/// Notes that the end of what was found is about to be asked for.
pub async fn ask_deletion(db: &Db, fence: Fence, id: FindingId) -> Result<bool, DbError> {
    let ask = sql("update findings set delete_asked_at = $1 where id = $2 and ended_at is null
                     and exists (select 1 from jobs where id = $3 and attempt = $4 and state = 'running')");
    Ok(ask.int(db.now_ms()).text(id).text(fence.job).int(fence.attempt).execute(db).await? == 1)
}

/// How many deletions were asked for in an account since then.
pub async fn deletions_since(on: impl Into<On<'_>>, account: AccountId, since: i64) -> Result<i64, DbError> {
    sql("select count(*) as n from findings where account_id = $1 and delete_asked_at >= $2")
        .text(account)
        .int(since)
        .fetch_one(on, |r| r.int("n"))
        .await
}

/// What is open in an account, the oldest first.
pub async fn open(on: impl Into<On<'_>>, account: AccountId) -> Result<Vec<Finding>, DbError> {
    sql(select!("where account_id = $1 and ended_at is null order by first_seen_at, id"))
        .text(account)
        .fetch_all(on, read)
        .await
}

/// A client's findings, newest first, those older than `before`; without those that have ended unless `ended`.
pub async fn list(
    on: impl Into<On<'_>>,
    client: ClientId,
    ended: bool,
    before: Option<FindingId>,
    limit: i64,
) -> Result<Vec<Finding>, DbError> {
    sql(select!(
        "where client_id = $1 and ($2 = 1 or ended_at is null) and (cast($3 as text) is null or id < $3)
         order by id desc limit $4"
    ))
    .text(client)
    .int(i64::from(ended))
    .opt_text(before)
    .int(limit)
    .fetch_all(on, read)
    .await
}
