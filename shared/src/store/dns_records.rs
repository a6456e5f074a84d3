//! Records of names that we have set, or are about to set, in zones of clients' accounts.
//!
//! Invariants: the row is there before the name service is asked, and ends as `gone` only; an account has at most one open
//! row for a name and family; every write of a worker carries its fence and names the states it starts from. Absent: what
//! is asked of a name service (worker-provision's `names`), and which names are wanted.

use std::net::IpAddr;

use super::{Db, DbError, Fence, On, Row, Sql, Tx, sql};
use crate::domain::{AccountId, ClientId, RecordId, ServerId, dns::Family, status::RecordState};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, client_id, account_id, server_id, zone, name, family, address, earlier, state, asked_at, leaving_at,
                    error_code, error_message, created_at, updated_at
             from dns_records ",
            $rest
        )
    };
}

/// An update of one row in one of some states, under a fence: `$1` is now, `$2` the row, `$3` and `$4` the fence.
macro_rules! update {
    ($set:literal, $from:literal) => {
        concat!(
            "update dns_records set updated_at = $1, ",
            $set,
            " where id = $2 and state in (",
            $from,
            ") and exists (select 1 from jobs where id = $3 and attempt = $4 and state = 'running')"
        )
    };
}

/// What sends a row on its way out. Where nothing was ever asked for, nothing is to be taken away.
macro_rules! leave {
    () => {
        "state = case when asked_at is null then 'gone' else 'leaving' end, leaving_at = $1, error_code = null,
         error_message = null"
    };
}

/// A record that is to be.
#[derive(Clone, Debug)]
pub struct NewRecord {
    pub client: ClientId,
    pub account: AccountId,
    pub server: ServerId,
    pub zone: String,
    pub name: String,
    pub address: IpAddr,
}

/// A stored record.
#[derive(Clone, Debug)]
pub struct DnsRecord {
    pub id: RecordId,
    pub client: ClientId,
    pub account: AccountId,
    pub server: ServerId,
    pub zone: String,
    pub name: String,
    pub family: Family,
    pub address: IpAddr,
    /// Addresses that the name may still have from us.
    pub earlier: Vec<IpAddr>,
    pub state: RecordState,
    /// When the record was last about to be asked for; `None`: never.
    pub asked_at: Option<i64>,
    pub leaving_at: Option<i64>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    pub created_at: i64,
    pub updated_at: i64,
}

impl DnsRecord {
    /// Every address that the name may have from us.
    pub fn ours(&self) -> impl Iterator<Item = IpAddr> + '_ {
        [self.address].into_iter().chain(self.earlier.iter().copied())
    }
}

fn read(r: &Row) -> Result<DnsRecord, DbError> {
    let earlier = r.text("earlier")?;
    let addresses = earlier.split_whitespace().map(str::parse).collect::<Result<_, _>>();
    Ok(DnsRecord {
        id: r.parse("id")?,
        client: r.parse("client_id")?,
        account: r.parse("account_id")?,
        server: r.parse("server_id")?,
        zone: r.text("zone")?,
        name: r.text("name")?,
        family: r.parse("family")?,
        address: r.parse("address")?,
        earlier: addresses.map_err(|_| DbError::Corrupt { column: "earlier", value: earlier })?,
        state: r.parse("state")?,
        asked_at: r.opt_int("asked_at")?,
        leaving_at: r.opt_int("leaving_at")?,
        error_code: r.opt_text("error_code")?,
        error_message: r.opt_text("error_message")?,
        created_at: r.int("created_at")?,
        updated_at: r.int("updated_at")?,
    })
}

/// Writes down that a record will be asked for. False when the fence does not hold, or an open row is there already.
pub async fn insert(db: &Db, fence: Fence, new: &NewRecord) -> Result<bool, DbError> {
    let insert = sql(
        "insert into dns_records (id, client_id, account_id, server_id, zone, name, family, address, created_at, updated_at)
         select $1, $2, $3, $4, $5, $6, $7, $8, cast($9 as bigint), cast($9 as bigint)
         where exists (select 1 from jobs where id = $10 and attempt = $11 and state = 'running')
         on conflict do nothing",
    );
    let with = insert.text(RecordId::new()).text(new.client).text(new.account).text(new.server).text(&new.zone);
    let with = with.text(&new.name).text(Family::of(new.address)).text(new.address).int(db.now_ms());
    Ok(with.text(fence.job).int(fence.attempt).execute(db).await? == 1)
}

/// Every row of an account that has not ended, the oldest first.
pub async fn open_of_account(on: impl Into<On<'_>>, account: AccountId) -> Result<Vec<DnsRecord>, DbError> {
    sql(select!("where account_id = $1 and state <> 'gone' order by id")).text(account).fetch_all(on, read).await
}

/// Every row of a server that has not ended.
pub async fn open_of_server(on: impl Into<On<'_>>, server: ServerId) -> Result<Vec<DnsRecord>, DbError> {
    sql(select!("where server_id = $1 and state <> 'gone' order by id")).text(server).fetch_all(on, read).await
}

/// A client's rows of a name that have not ended.
pub async fn of_name(on: impl Into<On<'_>>, client: ClientId, name: &str) -> Result<Vec<DnsRecord>, DbError> {
    sql(select!("where name = $1 and client_id = $2 and state <> 'gone' order by id"))
        .text(name)
        .text(client)
        .fetch_all(on, read)
        .await
}

/// A server is to end: all of its records are on their way out. Returns how many were not before.
pub async fn leave_server(db: &Db, fence: Fence, server: ServerId) -> Result<u64, DbError> {
    sql(concat!(
        "update dns_records set updated_at = $1, ",
        leave!(),
        " where server_id = $2 and state in ('wanted', 'set', 'refused')
           and exists (select 1 from jobs where id = $3 and attempt = $4 and state = 'running')"
    ))
    .int(db.now_ms())
    .text(server)
    .text(fence.job)
    .int(fence.attempt)
    .execute(db)
    .await
}

/// An account is deleted, and with it the means to change its records: those that stand are the client's from now on.
pub(super) async fn give_up(tx: &mut Tx, now: i64, client: ClientId, account: AccountId) -> Result<u64, DbError> {
    sql("update dns_records set state = 'gone', updated_at = $1, error_code = 'account_deleted',
                error_message = 'the account was deleted before the record was'
         where client_id = $2 and account_id = $3 and state <> 'gone'")
    .int(now)
    .text(client)
    .text(account)
    .execute(tx)
    .await
}

/// The right to change one row, and the moment.
pub struct Change<'a> {
    pub db: &'a Db,
    pub fence: Fence,
    pub id: RecordId,
}

impl Change<'_> {
    fn bind(&self, text: &'static str) -> Sql {
        sql(text).int(self.db.now_ms()).text(self.id).text(self.fence.job).int(self.fence.attempt)
    }

    async fn done(&self, statement: Sql) -> Result<bool, DbError> {
        Ok(statement.execute(self.db).await? == 1)
    }

    /// It is to lead to another address, or to belong to another server; the address it had may still be there.
    pub async fn moved(&self, server: ServerId, address: IpAddr, earlier: &[IpAddr]) -> Result<bool, DbError> {
        let earlier: Vec<String> = earlier.iter().map(IpAddr::to_string).collect();
        let text = update!(
            "state = 'wanted', server_id = $5, address = $6, earlier = $7, error_code = null, error_message = null",
            "'wanted', 'set', 'refused'"
        );
        self.done(self.bind(text).text(server).text(address).text(earlier.join(" "))).await
    }

    /// The request is about to be sent.
    pub async fn asked(&self) -> Result<bool, DbError> {
        let text = update!("state = 'wanted', asked_at = $1", "'wanted', 'refused'");
        self.done(self.bind(text)).await
    }

    /// The name service has it, and nothing else.
    pub async fn set(&self) -> Result<bool, DbError> {
        let text = update!("state = 'set', earlier = '', error_code = null, error_message = null", "'wanted'");
        self.done(self.bind(text)).await
    }

    /// It is not to be had as things are.
    pub async fn refused(&self, code: &str, message: &str) -> Result<bool, DbError> {
        let text = update!("state = 'refused', error_code = $5, error_message = $6", "'wanted', 'refused'");
        self.done(self.bind(text).text(code).text(message)).await
    }

    /// This time it did not work.
    pub async fn failed(&self, code: &str, message: &str) -> Result<bool, DbError> {
        let text = update!("error_code = $5, error_message = $6", "'wanted', 'refused', 'leaving'");
        self.done(self.bind(text).text(code).text(message)).await
    }

    /// It is on its way out.
    pub async fn leaving(&self) -> Result<bool, DbError> {
        let text = concat!(
            "update dns_records set updated_at = $1, ",
            leave!(),
            " where id = $2 and state in ('wanted', 'set', 'refused')
               and exists (select 1 from jobs where id = $3 and attempt = $4 and state = 'running')"
        );
        self.done(self.bind(text)).await
    }

    /// The name service has nothing of ours there any more.
    pub async fn gone(&self) -> Result<bool, DbError> {
        self.done(self.bind(update!("state = 'gone', error_code = null, error_message = null", "'leaving'"))).await
    }
}
