//! Machines at clouds: a row for each one that was, or may have been, asked for.
//!
//! Invariants: the row is there before the request that makes the machine, with everything that request says; it ends as
//! `gone` or `void` only, and its bill is open exactly from `present_at` to `gone_at`. Every write carries its worker's
//! fence and names the state it starts from. Absent: what a state means for what is asked next (worker-provision's
//! `rent`), and opening the sealed orders.

use super::{Db, DbError, Fence, On, Row, Sql, Tx, sql};
use crate::domain::{AccountId, ClientId, MachineId, ServerId, status::MachineState};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, server_id, client_id, account_id, name, generation, attempt, state, region, size, placement, avoid,
                    order_sealed, sent_at, looks, looked_at, remote_id, present_at, seen_at,
                    leaving_at, gone_looks, gone_looked_at, gone_at, error_code, error_message, created_at
             from machines ",
            $rest
        )
    };
}

/// An update of one machine in one of some states, under a fence: `$1` is now, `$2` the machine, `$3` and `$4` the fence.
macro_rules! update {
    ($set:literal, $from:literal) => {
        concat!(
            "update machines set updated_at = $1, ",
            $set,
            " where id = $2 and state in (",
            $from,
            ") and exists (select 1 from jobs where id = $3 and attempt = $4 and state = 'running')"
        )
    };
}

/// The field of a [`crate::secrets::Place`] for a machine's sealed order; the row is the machine's id.
pub const ORDER_FIELD: &str = "machines.order_sealed";

/// A machine that will be asked for.
#[derive(Clone, Debug)]
pub struct NewMachine {
    pub id: MachineId,
    pub server: ServerId,
    pub client: ClientId,
    pub account: AccountId,
    pub name: String,
    pub generation: i64,
    pub order: NewOrder,
}

/// One try to have it: what is asked for, and where not to try again.
#[derive(Clone, Debug)]
pub struct NewOrder {
    pub attempt: i64,
    pub region: String,
    pub size: String,
    /// JSON.
    pub placement: String,
    /// JSON.
    pub avoid: String,
    /// Sealed for [`ORDER_FIELD`].
    pub order_sealed: String,
}

/// What a machine costs an hour, in millionths of the currency's unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    pub hourly_micros: i64,
    pub currency: String,
}

/// A stored machine.
#[derive(Clone, Debug)]
pub struct Machine {
    pub id: MachineId,
    pub server: ServerId,
    pub client: ClientId,
    pub account: AccountId,
    pub name: String,
    pub generation: i64,
    pub attempt: i64,
    pub state: MachineState,
    pub region: String,
    pub size: String,
    pub placement: String,
    pub avoid: String,
    pub order_sealed: Option<String>,
    /// When the request was last about to be sent.
    pub sent_at: Option<i64>,
    /// How often it was looked for since then, in vain.
    pub looks: i64,
    pub looked_at: Option<i64>,
    pub remote_id: Option<String>,
    pub present_at: Option<i64>,
    /// When the cloud first showed it.
    pub seen_at: Option<i64>,
    /// Since when it is to go.
    pub leaving_at: Option<i64>,
    /// How often it was looked for since it was to go, in vain.
    pub gone_looks: i64,
    pub gone_looked_at: Option<i64>,
    pub gone_at: Option<i64>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    pub created_at: i64,
}

fn read(r: &Row) -> Result<Machine, DbError> {
    Ok(Machine {
        id: r.parse("id")?,
        server: r.parse("server_id")?,
        client: r.parse("client_id")?,
        account: r.parse("account_id")?,
        name: r.text("name")?,
        generation: r.int("generation")?,
        attempt: r.int("attempt")?,
        state: r.parse("state")?,
        region: r.text("region")?,
        size: r.text("size")?,
        placement: r.text("placement")?,
        avoid: r.text("avoid")?,
        order_sealed: r.opt_text("order_sealed")?,
        sent_at: r.opt_int("sent_at")?,
        looks: r.int("looks")?,
        looked_at: r.opt_int("looked_at")?,
        remote_id: r.opt_text("remote_id")?,
        present_at: r.opt_int("present_at")?,
        seen_at: r.opt_int("seen_at")?,
        leaving_at: r.opt_int("leaving_at")?,
        gone_looks: r.int("gone_looks")?,
        gone_looked_at: r.opt_int("gone_looked_at")?,
        gone_at: r.opt_int("gone_at")?,
        error_code: r.opt_text("error_code")?,
        error_message: r.opt_text("error_message")?,
        created_at: r.int("created_at")?,
    })
}

/// Writes down that a machine will be asked for. False when the fence does not hold.
pub async fn insert(on: impl Into<On<'_>>, db: &Db, fence: Fence, new: &NewMachine) -> Result<bool, DbError> {
    let done = sql(
        "insert into machines (id, server_id, client_id, account_id, name, generation, attempt, region, size, placement,
                               avoid, order_sealed, created_at, updated_at)
         select $1, $2, $3, $4, $5, cast($6 as bigint), cast($7 as bigint), $8, $9, $10, $11, $12, cast($13 as bigint),
                cast($13 as bigint)
         where exists (select 1 from jobs where id = $14 and attempt = $15 and state = 'running')",
    )
    .text(new.id)
    .text(new.server)
    .text(new.client)
    .text(new.account)
    .text(&new.name)
    .int(new.generation)
    .int(new.order.attempt)
    .text(&new.order.region)
    .text(&new.order.size)
    .text(&new.order.placement)
    .text(&new.order.avoid)
    .text(&new.order.order_sealed)
    .int(db.now_ms())
    .text(fence.job)
    .int(fence.attempt)
    .execute(on)
    .await?;
    Ok(done == 1)
}

/// Every machine of a server, the first generation first.
pub async fn of_server(on: impl Into<On<'_>>, server: ServerId) -> Result<Vec<Machine>, DbError> {
    sql(select!("where server_id = $1 order by generation")).text(server).fetch_all(on, read).await
}

/// Every machine of an account that has not ended.
pub async fn open_of_account(on: impl Into<On<'_>>, account: AccountId) -> Result<Vec<Machine>, DbError> {
    let open = sql(select!("where account_id = $1 and state not in ('gone', 'void') order by id"));
    open.text(account).fetch_all(on, read).await
}

/// The machine of a name, ended or not, whichever account it was asked for in: one project may be two accounts here.
pub async fn by_name(on: impl Into<On<'_>>, name: &str) -> Result<Option<Machine>, DbError> {
    sql(select!("where name = $1")).text(name).fetch_optional(on, read).await
}

/// A client's machines that cost, or have cost, something: newest first, those older than `before`.
pub async fn billed(
    on: impl Into<On<'_>>,
    client: ClientId,
    before: Option<MachineId>,
    limit: i64,
) -> Result<Vec<Machine>, DbError> {
    sql(select!(
        "where client_id = $1 and present_at is not null and (cast($2 as text) is null or id < $2)
         order by id desc limit $3"
    ))
    .text(client)
    .opt_text(before)
    .int(limit)
    .fetch_all(on, read)
    .await
}

/// One price of a machine, from when on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    pub machine: MachineId,
    pub since: i64,
    pub size: String,
    pub rate: Rate,
}

/// The prices of some machines of a client, in order of time.
pub async fn charges(
    on: impl Into<On<'_>>,
    client: ClientId,
    from: MachineId,
    to: MachineId,
) -> Result<Vec<Charge>, DbError> {
    let find = sql("select c.machine_id, c.since, c.size, c.hourly_micros, c.currency from charges c
                    join machines m on m.id = c.machine_id
                    where m.client_id = $1 and m.id >= $2 and m.id <= $3 order by c.machine_id, c.since");
    find.text(client)
        .text(from)
        .text(to)
        .fetch_all(on, |r| {
            Ok(Charge {
                machine: r.parse("machine_id")?,
                since: r.int("since")?,
                size: r.text("size")?,
                rate: Rate { hourly_micros: r.int("hourly_micros")?, currency: r.text("currency")? },
            })
        })
        .await
}

/// Forgets what was asked for, once a server was reached: an order holds its machine's first host key.
pub async fn forget_orders(db: &Db, fence: Fence, server: ServerId) -> Result<u64, DbError> {
    let forget = sql("update machines set order_sealed = null where server_id = $1 and state = 'present'
                        and exists (select 1 from jobs where id = $2 and attempt = $3 and state = 'running')");
    forget.text(server).text(fence.job).int(fence.attempt).execute(db).await
}

/// The right to change one machine, and the moment.
pub struct Change<'a> {
    pub db: &'a Db,
    pub fence: Fence,
    pub id: MachineId,
}

impl Change<'_> {
    fn bind(&self, text: &'static str) -> Sql {
        sql(text).int(self.db.now_ms()).text(self.id).text(self.fence.job).int(self.fence.attempt)
    }

    async fn done(&self, statement: Sql) -> Result<bool, DbError> {
        Ok(statement.execute(self.db).await? == 1)
    }

    /// The request is about to be sent.
    pub async fn sent(&self) -> Result<bool, DbError> {
        let text = update!("state = 'sent', sent_at = $1, looks = 0, looked_at = null", "'intended'");
        self.done(self.bind(text)).await
    }

    /// The same request is about to be sent again; the looks since the first one count on.
    pub async fn sent_again(&self) -> Result<bool, DbError> {
        self.done(self.bind(update!("sent_at = $1", "'sent'"))).await
    }

    /// It was looked for in vain.
    pub async fn looked(&self) -> Result<bool, DbError> {
        self.done(self.bind(update!("looks = looks + 1, looked_at = $1", "'intended', 'sent'"))).await
    }

    /// Nothing came of the last request, and another one will be sent: the same or, with `order`, another.
    pub async fn again(&self, order: &NewOrder, code: &str, message: &str) -> Result<bool, DbError> {
        let text = update!(
            "state = 'intended', attempt = $5, region = $6, size = $7, placement = $8, avoid = $9, order_sealed = $10,
             error_code = $11, error_message = $12, looks = 0, looked_at = null",
            "'intended', 'sent'"
        );
        let with = self.bind(text).int(order.attempt).text(&order.region).text(&order.size).text(&order.placement);
        let with = with.text(&order.avoid).text(&order.order_sealed).text(code).text(message);
        self.done(with).await
    }

    /// The cloud has it under this id, since then; its bill opens.
    pub async fn present(&self, remote_id: &str, since: i64, rate: Option<&Rate>) -> Result<bool, DbError> {
        let text = update!(
            "state = 'present', remote_id = $5, present_at = $6, error_code = null, error_message = null",
            "'intended', 'sent'"
        );
        let mut tx = self.db.begin().await?;
        let done = self.bind(text).text(remote_id).int(since).execute(&mut tx).await? == 1;
        self.charge(&mut tx, since, rate).await?;
        Ok(done && tx.commit_under(self.fence).await?)
    }

    /// From then on it costs this.
    async fn charge(&self, tx: &mut Tx, since: i64, rate: Option<&Rate>) -> Result<(), DbError> {
        let Some(rate) = rate else { return Ok(()) };
        sql("insert into charges (machine_id, since, size, hourly_micros, currency)
             select id, cast($1 as bigint), size, cast($2 as bigint), $3 from machines where id = $4
             on conflict (machine_id, since) do update set size = excluded.size, hourly_micros = excluded.hourly_micros")
        .int(since)
        .int(rate.hourly_micros)
        .text(&rate.currency)
        .text(self.id)
        .execute(tx)
        .await?;
        Ok(())
    }

    /// The cloud shows it: what was seen missing before does not count.
    pub async fn seen(&self) -> Result<bool, DbError> {
        let text = update!(
            "seen_at = coalesce(seen_at, $1), gone_looks = 0, gone_looked_at = null, gone_at = null",
            "'present', 'leaving'"
        );
        self.done(self.bind(text)).await
    }

    /// It has another size.
    pub async fn resized(&self, size: &str) -> Result<bool, DbError> {
        self.done(self.bind(update!("size = $5", "'present'")).text(size)).await
    }

    /// It costs this now: from its beginning if no price was known so far, else from now on if that is another price. Whether
    /// it was new.
    pub async fn priced(&self, rate: &Rate) -> Result<bool, DbError> {
        let last = sql("select m.present_at, m.size, c.size as charged, c.hourly_micros from machines m
                        left join charges c on c.machine_id = m.id and c.since =
                          (select max(l.since) from charges l where l.machine_id = m.id)
                        where m.id = $1 and m.state in ('present', 'leaving')");
        let read =
            |r: &Row| Ok((r.int("present_at")?, r.text("size")?, r.opt_text("charged")?, r.opt_int("hourly_micros")?));
        let Some((present_at, size, charged, micros)) = last.text(self.id).fetch_optional(self.db, read).await? else {
            return Ok(false);
        };
        if charged.as_ref() == Some(&size) && micros == Some(rate.hourly_micros) {
            return Ok(false);
        }
        let since = if charged.is_none() { present_at } else { self.db.now_ms() };
        let mut tx = self.db.begin().await?;
        self.charge(&mut tx, since, Some(rate)).await?;
        tx.commit_under(self.fence).await
    }

    /// It is to go, and why.
    pub async fn leaving(&self, reason: Option<&str>) -> Result<bool, DbError> {
        let text = update!("state = 'leaving', leaving_at = $1, error_code = coalesce($5, error_code)", "'present'");
        self.done(self.bind(text).opt_text(reason)).await
    }

    /// It is to go as before, and the wait for that begins anew.
    pub async fn leaving_still(&self) -> Result<bool, DbError> {
        self.done(self.bind(update!("leaving_at = $1", "'leaving'"))).await
    }

    /// The cloud does not show it; the first such look is its end if it stays so.
    pub async fn missed(&self) -> Result<bool, DbError> {
        let text = update!(
            "gone_looks = gone_looks + 1, gone_looked_at = $1, gone_at = coalesce(gone_at, $1)",
            "'present', 'leaving'"
        );
        self.done(self.bind(text)).await
    }

    /// It is gone for good.
    pub async fn gone(&self) -> Result<bool, DbError> {
        let text =
            update!("state = 'gone', gone_at = coalesce(gone_at, $1), order_sealed = null", "'present', 'leaving'");
        self.done(self.bind(text)).await
    }

    /// It never was.
    pub async fn void(&self, code: &str, message: &str) -> Result<bool, DbError> {
        let text =
            update!("state = 'void', order_sealed = null, error_code = $5, error_message = $6", "'intended', 'sent'");
        self.done(self.bind(text).text(code).text(message)).await
    }
}
