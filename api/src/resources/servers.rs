//! Servers: one VPS of one customer.
//!
//! Absent: how one begins (`server_orders`), and what it can be asked to do (`server_actions`).

use poem_openapi::{
    Enum, Object, OpenApi,
    param::{Header, Path, Query},
    payload::Json,
};
use shared::{
    domain::{AccountId, CustomerId, ServerId, cloud::decimal, status::ServerStatus},
    queue::{JobKind, cancel},
    store::servers::{self, Server, Wish},
};

use super::{server_orders::Chosen, work};
use crate::{
    app::Here,
    auth::{Deployer, Reader},
    idempotency::{Accepted, Answer},
    logs::{LogStream, LogText, follow, text},
    openapi::Tag,
    page::{Limit, Page},
    problem::Problem,
    typed::{Moment, Typed},
    words::Word,
};

pub struct Servers;

/// Where a server comes from.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "Provider", rename_all = "lowercase")]
pub enum Provider {
    /// A container on the engine's own machine.
    Local,
    /// A machine of the client's, reached over SSH.
    Host,
    /// Rented at Hetzner Cloud, in an account of the client's.
    Hetzner,
    /// Rented at DigitalOcean.
    DigitalOcean,
    /// Rented at OVHcloud.
    Ovh,
    /// Rented at AWS, as an EC2 instance.
    Aws,
}

impl Provider {
    const ALL: [Self; 6] = [Self::Local, Self::Host, Self::Hetzner, Self::DigitalOcean, Self::Ovh, Self::Aws];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Host => "host",
            Self::Hetzner => "hetzner",
            Self::DigitalOcean => "digitalocean",
            Self::Ovh => "ovh",
            Self::Aws => "aws",
        }
    }

    /// The provider of that name. The API writes no other into the store.
    fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|provider| provider.as_str() == name).unwrap_or(Self::Host)
    }
}

/// What a rented server can be asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "ServerAction", rename_all = "lowercase")]
enum Action {
    Start,
    Stop,
    Reboot,
    Resize,
}

impl From<&Wish> for Action {
    fn from(wish: &Wish) -> Self {
        match wish {
            Wish::Start => Self::Start,
            Wish::Stop => Self::Stop,
            Wish::Reboot => Self::Reboot,
            Wish::Resize(_) => Self::Resize,
        }
    }
}

/// A server.
#[derive(Object)]
#[oai(rename = "Server")]
pub struct ServerView {
    id: Typed<ServerId>,
    customer_id: Typed<CustomerId>,
    provider: Provider,
    /// The account at a cloud in which it is rented.
    #[oai(skip_serializing_if_is_none)]
    account_id: Option<Typed<AccountId>>,
    /// The region's code at the cloud.
    #[oai(skip_serializing_if_is_none)]
    region: Option<String>,
    /// The size that was asked for. Which one a machine has is shown with the machines.
    #[oai(skip_serializing_if_is_none)]
    size: Option<String>,
    /// Other sizes, in this order, when the cloud has no room for the first.
    #[oai(skip_serializing_if_is_empty)]
    fallback_sizes: Vec<String>,
    /// What it is expected to cost in a full month: a decimal number, of the dearest of its sizes.
    #[oai(skip_serializing_if_is_none)]
    monthly_cost: Option<String>,
    /// ISO 4217.
    #[oai(skip_serializing_if_is_none)]
    currency: Option<String>,
    status: Word<ServerStatus>,
    #[oai(skip_serializing_if_is_none)]
    address: Option<String>,
    ssh_port: i64,
    ssh_user: String,
    /// The pinned host key.
    #[oai(skip_serializing_if_is_none)]
    host_key: Option<String>,
    /// For the provider `host`: put this line into the user's `authorized_keys`.
    #[oai(skip_serializing_if_is_none)]
    login_public_key: Option<String>,
    /// Its deletion was asked for.
    deleting: bool,
    /// What it was asked to do, until that is done.
    #[oai(skip_serializing_if_is_none)]
    wanted: Option<Action>,
    /// The size that it is to have.
    #[oai(skip_serializing_if_is_none)]
    wanted_size: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    error_code: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    error_message: Option<String>,
    created_at: Moment,
    updated_at: Moment,
}

/// What was chosen about a server. The API writes only what it can read.
pub fn chosen(server: &Server) -> Chosen {
    serde_json::from_str(&server.spec).unwrap_or_default()
}

pub fn view(server: Server) -> ServerView {
    let spec = chosen(&server);
    let (monthly_cost, currency) = server.monthly.map(|m| (decimal(m.micros), m.currency)).unzip();
    let wanted_size = if let Some(Wish::Resize(size)) = &server.wish { Some(size.clone()) } else { None };
    ServerView {
        id: Typed(server.id),
        customer_id: Typed(server.customer),
        provider: Provider::named(&server.provider),
        account_id: server.account.map(Typed),
        region: spec.region,
        size: spec.size,
        fallback_sizes: spec.fallback_sizes,
        monthly_cost,
        currency,
        status: Word(server.status),
        address: server.address,
        ssh_port: server.ssh_port,
        ssh_user: server.ssh_user,
        host_key: server.host_public_key,
        login_public_key: server.login_public_key,
        deleting: server.delete_requested_at.is_some(),
        wanted: server.wish.as_ref().map(Action::from),
        wanted_size,
        error_code: server.error_code,
        error_message: server.error_message,
        created_at: Moment(server.created_at),
        updated_at: Moment(server.updated_at),
    }
}

pub fn location(id: ServerId) -> String {
    format!("/v1/servers/{id}")
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Servers")]
impl Servers {
    /// List servers
    ///
    /// Needs scope `read`.
    #[oai(path = "/servers", method = "get", operation_id = "list_servers")]
    async fn list(
        &self,
        caller: Reader,
        app: Here,
        customer_id: Query<Option<Typed<CustomerId>>>,
        cursor: Query<Option<Typed<ServerId>>>,
        limit: Query<Limit>,
    ) -> Result<Json<Page<ServerView>>, Problem> {
        let (customer, before) = (customer_id.0.map(|c| c.0), cursor.0.map(|c| c.0));
        let rows = servers::list(&app.db, caller.client, customer, before, limit.rows()).await?;
        Ok(Json(limit.page(rows, |server| server.id.to_string(), view)))
    }

    /// Show a server
    ///
    /// Needs scope `read`.
    #[oai(path = "/servers/:server_id", method = "get", operation_id = "get_server")]
    async fn get(
        &self,
        caller: Reader,
        app: Here,
        server_id: Path<Typed<ServerId>>,
    ) -> Result<Json<ServerView>, Problem> {
        let found = servers::get(&app.db, caller.client, server_id.0.0).await?;
        Ok(Json(view(found.ok_or_else(|| Problem::not_found("server"))?)))
    }

    /// Delete a server
    ///
    /// Its deployments go with it. When that failed, it can be asked for again. Needs scope `deploy`.
    #[oai(path = "/servers/:server_id", method = "delete", operation_id = "delete_server")]
    async fn delete(
        &self,
        caller: Deployer,
        app: Here,
        server_id: Path<Typed<ServerId>>,
    ) -> Result<Accepted<ServerView>, Problem> {
        let id = server_id.0.0;
        let mut tx = app.db.begin().await?;
        let found = servers::get(&mut tx, caller.client, id).await?;
        let server = found.ok_or_else(|| Problem::not_found("server"))?;
        let asked = servers::request_delete(&mut tx, &app.db, caller.client, id).await?;
        if !work::is_needed(&mut tx, asked, JobKind::Provision, id).await? {
            return Ok(Answer::plain(location(server.id), view(server)));
        }
        if let Some(job) = server.job {
            cancel(&mut tx, &app.db, job).await?;
        }
        let server = work::on_server(&app, &mut tx, caller.client, id).await?;
        tx.commit().await?;
        Ok(Answer::plain(location(server.id), view(server)))
    }

    /// Read a server's log
    ///
    /// Needs scope `read`.
    #[oai(path = "/servers/:server_id/logs", method = "get", operation_id = "get_server_logs")]
    async fn logs(
        &self,
        caller: Reader,
        app: Here,
        server_id: Path<Typed<ServerId>>,
        after: Query<Option<i64>>,
    ) -> Result<LogText, Problem> {
        text(&app, &caller, server_id.0.0, after.0).await
    }

    /// Follow a server's log
    ///
    /// Server-sent events with a `LogEvent` each; the last one has the type `end`. Needs scope `read`.
    #[oai(path = "/servers/:server_id/logs/stream", method = "get", operation_id = "stream_server_logs")]
    async fn stream(
        &self,
        caller: Reader,
        app: Here,
        server_id: Path<Typed<ServerId>>,
        #[oai(name = "Last-Event-ID")] last_event_id: Header<Option<String>>,
    ) -> Result<LogStream, Problem> {
        follow(&app, &caller, server_id.0.0, last_event_id.0).await
    }
}
