//! What a rented server that is there can be asked to do: start, stop, reboot, and have another size.
//!
//! Invariants: one thing at a time; the wish and the job that fulfils it are written in one transaction; a wish whose job
//! came to nothing keeps no other one out. Absent: doing it.

use poem_openapi::{Object, OpenApi, param::Path, payload::Json};
use shared::{
    domain::{RegionCode, ServerId, SizeCode, status::MachineState},
    queue::{JobKind, is_active},
    store::{
        Tx, machines, provider_accounts,
        servers::{self, Monthly, Server, Wish},
    },
};

use super::{
    server_orders::monthly,
    servers::{ServerView, chosen, location, view},
    work,
};
use crate::{
    app::{App, Here},
    auth::{Caller, Deployer},
    idempotency::{Accepted, Begun, Idempotency, begin},
    openapi::Tag,
    problem::Problem,
    quotas::{self, Spending},
    typed::Typed,
};

pub struct ServerActions;

#[derive(Object)]
#[oai(deny_unknown_fields)]
struct NewSize {
    /// One of the account's catalog that can be had in the server's region, and not the one that the server has.
    size: Typed<SizeCode>,
}

type Done = Result<Accepted<ServerView>, Problem>;

#[OpenApi(prefix_path = "/v1", tag = "Tag::Servers")]
impl ServerActions {
    /// Start a server
    ///
    /// For rented servers. Needs scope `deploy`.
    #[oai(path = "/servers/:server_id/start", method = "post", operation_id = "start_server")]
    async fn start(
        &self,
        caller: Deployer,
        app: Here,
        server_id: Path<Typed<ServerId>>,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
    ) -> Result<Accepted<ServerView>, Problem> {
        act(&app, &caller, server_id.0.0, once, Wish::Start).await
    }

    /// Stop a server
    ///
    /// For rented servers. It still costs what it costs, and starts again only when it is asked to. Needs scope `deploy`.
    #[oai(path = "/servers/:server_id/stop", method = "post", operation_id = "stop_server")]
    async fn stop(
        &self,
        caller: Deployer,
        app: Here,
        server_id: Path<Typed<ServerId>>,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
    ) -> Result<Accepted<ServerView>, Problem> {
        act(&app, &caller, server_id.0.0, once, Wish::Stop).await
    }

    /// Reboot a server
    ///
    /// For rented servers. Needs scope `deploy`.
    #[oai(path = "/servers/:server_id/reboot", method = "post", operation_id = "reboot_server")]
    async fn reboot(
        &self,
        caller: Deployer,
        app: Here,
        server_id: Path<Typed<ServerId>>,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
    ) -> Result<Accepted<ServerView>, Problem> {
        act(&app, &caller, server_id.0.0, once, Wish::Reboot).await
    }

    /// Resize a server
    ///
    /// For rented servers. It is switched off meanwhile. Needs scope `deploy`.
    #[oai(path = "/servers/:server_id/resize", method = "post", operation_id = "resize_server")]
    async fn resize(
        &self,
        caller: Deployer,
        app: Here,
        server_id: Path<Typed<ServerId>>,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
        body: Json<NewSize>,
    ) -> Result<Accepted<ServerView>, Problem> {
        act(&app, &caller, server_id.0.0, once, Wish::Resize(body.0.size.0.into())).await
    }
}

async fn act(app: &App, caller: &Caller, id: ServerId, once: Idempotency, wish: Wish) -> Done {
    let mut once = match begin(app, caller.client, once).await? {
        Begun::Replay(answer) => return Ok(answer),
        Begun::New(once) => once,
    };
    let made = ask(app, &mut once.tx, caller, id, &wish).await?;
    once.finish(app, location(id), view(made)).await
}

async fn ask(app: &App, tx: &mut Tx, caller: &Caller, id: ServerId, wish: &Wish) -> Result<Server, Problem> {
    let client = caller.client;
    servers::lock(tx, client, id).await?;
    let server = servers::get(&mut *tx, client, id).await?.ok_or_else(|| Problem::not_found("server"))?;
    if server.account.is_none() {
        return Err(Problem::conflict("not_rented", "Only a server that is rented at a cloud can do this."));
    }
    if server.wish.is_some() && !is_active(&mut *tx, JobKind::Provision, id).await? {
        servers::drop_wish(tx, client, id).await?;
    }
    if !servers::wish(tx, &app.db, client, id, wish).await? {
        let detail = match &server.wish {
            Some(other) => format!("The server is asked to do something else: {}. Wait for it.", other.as_str()),
            None => format!("A server that is {} cannot do this.", server.status),
        };
        return Err(Problem::conflict("server_busy", detail));
    }
    if let Wish::Resize(size) = wish {
        count_resize(app, tx, &server, size.parse()?).await?;
    }
    work::on_server(app, tx, client, id).await
}

/// Whether the server may have the size: one of its account's, another than it has, and within the spending cap.
async fn count_resize(app: &App, tx: &mut Tx, server: &Server, size: SizeCode) -> Result<(), Problem> {
    let client = server.client;
    let had = machines::of_server(&mut *tx, server.id).await?;
    let had = had.into_iter().rev().find(|m| m.state == MachineState::Present);
    let spec = chosen(server);
    if had.map(|m| m.size).or(spec.size).is_some_and(|had| had == size.as_str()) {
        return Err(Problem::conflict("same_size", "The server has this size."));
    }
    let region: RegionCode = spec.region.unwrap_or_default().parse()?;
    let account = match server.account {
        Some(account) => provider_accounts::get(&mut *tx, client, account).await?,
        None => None,
    };
    let after = monthly(&account.ok_or_else(Problem::internal)?, &region, &[size])?;
    // Until it is known to have the new size, it counts with the dearer one.
    let was_dearer = |before: &&Monthly| {
        after.as_ref().is_some_and(|after| before.currency == after.currency && before.micros > after.micros)
    };
    let dearer = server.monthly.as_ref().filter(was_dearer).or(after.as_ref());
    servers::expect_monthly(tx, client, server.id, dearer).await?;
    quotas::check_spending(app, tx, client, Spending { before: server.monthly.as_ref(), after: after.as_ref() }).await
}
