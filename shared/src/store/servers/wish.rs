//! What somebody asked a server that is ready to do, from the request until it is done.
//!
//! Invariant: one wish at a time; a worker takes back only the one it fulfilled.

use super::Monthly;
use crate::{
    domain::{ClientId, ServerId},
    store::{Db, DbError, Fence, Tx, sql},
};

/// What somebody asked a ready server to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    Start,
    Stop,
    Reboot,
    /// To this size.
    Resize(String),
}

impl Wish {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Reboot => "reboot",
            Self::Resize(_) => "resize",
        }
    }

    pub(super) fn read(word: Option<String>, size: Option<String>) -> Result<Option<Self>, DbError> {
        Ok(Some(match (word.as_deref(), size) {
            (None, _) => return Ok(None),
            (Some("start"), _) => Self::Start,
            (Some("stop"), _) => Self::Stop,
            (Some("reboot"), _) => Self::Reboot,
            (Some("resize"), Some(size)) => Self::Resize(size),
            (Some(other), _) => return Err(DbError::Corrupt { column: "wanted", value: other.to_owned() }),
        }))
    }
}

/// Keeps a wish, while the server is ready or stopped, is not to be deleted, and has no other; what became of the one
/// before is forgotten. False otherwise.
pub async fn wish(tx: &mut Tx, db: &Db, client: ClientId, id: ServerId, wish: &Wish) -> Result<bool, DbError> {
    let size = if let Wish::Resize(size) = wish { Some(size) } else { None };
    let keep = sql(
        "update servers set wanted = $1, wanted_size = $2, updated_at = $3, error_code = null, error_message = null
         where id = $4 and client_id = $5 and status in ('ready', 'stopped') and delete_requested_at is null
           and wanted is null",
    );
    let with = keep.text(wish.as_str()).opt_text(size).int(db.now_ms()).text(id).text(client);
    Ok(with.execute(tx).await? == 1)
}

/// Lets go of a wish whose job has come to nothing, so that another can be kept. To be asked while no job works on the
/// server and its row is held.
pub async fn drop_wish(tx: &mut Tx, client: ClientId, id: ServerId) -> Result<bool, DbError> {
    let drop = sql("update servers set wanted = null, wanted_size = null
                    where id = $1 and client_id = $2 and wanted is not null");
    Ok(drop.text(id).text(client).execute(tx).await? == 1)
}

/// Keeps what a server is expected to cost from now on.
pub async fn expect_monthly(
    tx: &mut Tx,
    client: ClientId,
    id: ServerId,
    monthly: Option<&Monthly>,
) -> Result<bool, DbError> {
    let set = sql("update servers set monthly_micros = $1, currency = $2 where id = $3 and client_id = $4");
    let with = set.opt_int(monthly.map(|m| m.micros)).opt_text(monthly.map(|m| &m.currency)).text(id).text(client);
    Ok(with.execute(tx).await? == 1)
}

/// Takes a wish back, fulfilled or not, with the words for why not. Why the one did not come true in whose place it was
/// put ([`turn_wish`]) stays.
pub async fn forget_wish(
    db: &Db,
    fence: Fence,
    id: ServerId,
    wish: &Wish,
    error: Option<(&str, &str)>,
) -> Result<bool, DbError> {
    let take = sql("update servers set wanted = null, wanted_size = null, updated_at = $3,
           error_code = coalesce($1, error_code), error_message = coalesce($2, error_message)
         where id = $4 and wanted = $5
           and exists (select 1 from jobs where id = $6 and attempt = $7 and state = 'running')");
    let with = take.opt_text(error.map(|e| e.0)).opt_text(error.map(|e| e.1)).int(db.now_ms()).text(id);
    Ok(with.text(wish.as_str()).text(fence.job).int(fence.attempt).execute(db).await? == 1)
}

/// Keeps what a server is to be from now on: see `providers::Spec`.
pub async fn set_spec(db: &Db, fence: Fence, id: ServerId, spec: &str) -> Result<bool, DbError> {
    let set = sql("update servers set spec = $1 where id = $2
                     and exists (select 1 from jobs where id = $3 and attempt = $4 and state = 'running')");
    Ok(set.text(spec).text(id).text(fence.job).int(fence.attempt).execute(db).await? == 1)
}

/// As [`expect_monthly`], by the job that knows what the server is.
pub async fn set_monthly(db: &Db, fence: Fence, id: ServerId, monthly: &Monthly) -> Result<bool, DbError> {
    let set = sql("update servers set monthly_micros = $1, currency = $2 where id = $3
                     and exists (select 1 from jobs where id = $4 and attempt = $5 and state = 'running')");
    let with = set.int(monthly.micros).text(&monthly.currency).text(id).text(fence.job).int(fence.attempt);
    Ok(with.execute(db).await? == 1)
}

/// Puts another wish in the place of one that will not come true, with the words for why not. Its time begins anew.
pub async fn turn_wish(
    db: &Db,
    fence: Fence,
    id: ServerId,
    (from, to): (&Wish, &Wish),
    (code, message): (&str, &str),
) -> Result<bool, DbError> {
    let turn =
        sql("update servers set wanted = $1, wanted_size = null, error_code = $2, error_message = $3, updated_at = $4
         where id = $5 and wanted = $6
           and exists (select 1 from jobs where id = $7 and attempt = $8 and state = 'running')");
    let with = turn.text(to.as_str()).text(code).text(message).int(db.now_ms()).text(id);
    Ok(with.text(from.as_str()).text(fence.job).int(fence.attempt).execute(db).await? == 1)
}

/// As [`forget_wish`], once the job is over: only while no other job works on the server.
pub async fn give_up_wish(db: &Db, id: ServerId, wish: &Wish, (code, message): (&str, &str)) -> Result<bool, DbError> {
    let take = sql(
        "update servers set wanted = null, wanted_size = null, error_code = $1, error_message = $2, updated_at = $3
         where id = $4 and wanted = $5 and not exists
           (select 1 from jobs where subject_id = $4 and kind = 'provision' and state in ('queued', 'running'))",
    );
    let with = take.text(code).text(message).int(db.now_ms()).text(id).text(wish.as_str());
    Ok(with.execute(db).await? == 1)
}
