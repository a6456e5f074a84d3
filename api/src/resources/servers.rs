//! Servers: one VPS of one customer.

use poem_openapi::{
    Enum, Object, OpenApi,
    param::{Header, Path, Query},
    payload::Json,
};
use secrecy::ExposeSecret;
use shared::{
    domain::{CustomerId, HostAddress, LoginName, ServerId, status::ServerStatus},
    queue::{JobKind, cancel},
    secrets::Place,
    ssh::generate_key,
    store::{
        customers,
        servers::{self, NewServer, Server},
    },
};

use super::{names::public_key, work};
use crate::{
    app::{App, Here},
    auth::{Caller, Deployer, Reader},
    idempotency::{Accepted, Answer, Begun, Idempotency, begin},
    logs::{LogStream, LogText, follow, text},
    openapi::Tag,
    page::{Limit, Page},
    problem::Problem,
    quotas::{self, Counted},
    typed::{Moment, Typed},
    words::Word,
};

pub struct Servers;

/// Where a server comes from.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "Provider", rename_all = "snake_case")]
enum Provider {
    /// A container on the engine's own machine.
    Local,
    /// A machine of the client's, reached over SSH.
    Host,
}

/// A machine of the client's own.
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct HostMachine {
    address: Typed<HostAddress>,
    /// 22 when absent.
    #[oai(validator(minimum(value = "1")))]
    port: Option<u16>,
    /// `root` when absent.
    user: Option<Typed<LoginName>>,
    /// The machine's SSH host key: type and base64. No other key is ever accepted.
    host_key: String,
}

#[derive(Object)]
#[oai(deny_unknown_fields)]
struct NewServerRequest {
    customer_id: Typed<CustomerId>,
    provider: Provider,
    /// Needed for, and only for, the provider `host`.
    host: Option<HostMachine>,
    #[oai(validator(minimum(value = "256"), maximum(value = "1048576")))]
    memory_mb: Option<u32>,
    #[oai(validator(minimum(value = "100"), maximum(value = "256000")))]
    milli_cpus: Option<u32>,
}

/// A server.
#[derive(Object)]
#[oai(rename = "Server")]
struct ServerView {
    id: Typed<ServerId>,
    customer_id: Typed<CustomerId>,
    provider: Provider,
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
    #[oai(skip_serializing_if_is_none)]
    error_code: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    error_message: Option<String>,
    created_at: Moment,
    updated_at: Moment,
}

/// The API writes no other name into the store.
fn provider(name: &str) -> Provider {
    if name == "local" { Provider::Local } else { Provider::Host }
}

fn view(server: Server) -> ServerView {
    ServerView {
        id: Typed(server.id),
        customer_id: Typed(server.customer),
        provider: provider(&server.provider),
        status: Word(server.status),
        address: server.address,
        ssh_port: server.ssh_port,
        ssh_user: server.ssh_user,
        host_key: server.host_public_key,
        login_public_key: server.login_public_key,
        deleting: server.delete_requested_at.is_some(),
        error_code: server.error_code,
        error_message: server.error_message,
        created_at: Moment(server.created_at),
        updated_at: Moment(server.updated_at),
    }
}

fn location(id: ServerId) -> String {
    format!("/v1/servers/{id}")
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Servers")]
impl Servers {
    /// Provision a server
    ///
    /// Needs scope `deploy`.
    #[oai(path = "/servers", method = "post", operation_id = "create_server")]
    async fn create(
        &self,
        caller: Deployer,
        app: Here,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
        body: Json<NewServerRequest>,
    ) -> Result<Accepted<ServerView>, Problem> {
        let new = new_server(&app, &caller, body.0)?;
        let mut once = match begin(&app, caller.client, once).await? {
            Begun::Replay(answer) => return Ok(answer),
            Begun::New(once) => once,
        };
        if !customers::lock(&mut once.tx, caller.client, new.customer).await? {
            return Err(Problem::not_found("customer"));
        }
        servers::insert(&mut once.tx, &app.db, &new).await?;
        quotas::check(&app, &mut once.tx, caller.client, Counted::Servers).await?;
        let made = work::on_server(&app, &mut once.tx, new.client, new.id).await?;
        once.finish(&app, location(new.id), view(made)).await
    }

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

fn new_server(app: &App, caller: &Caller, request: NewServerRequest) -> Result<NewServer, Problem> {
    let id = ServerId::new();
    let mut spec = serde_json::Map::new();
    if let Some(memory) = request.memory_mb {
        spec.insert("memory_mb".into(), memory.into());
    }
    if let Some(cpus) = request.milli_cpus {
        spec.insert("milli_cpus".into(), cpus.into());
    }
    let new = NewServer {
        id,
        client: caller.client,
        customer: request.customer_id.0,
        provider: if request.provider == Provider::Local { "local".into() } else { "host".into() },
        spec: serde_json::Value::Object(spec).to_string(),
        address: None,
        ssh_port: 22,
        ssh_user: "root".into(),
        host_public_key: None,
        login_public_key: None,
        login_private_key_sealed: None,
    };
    match (request.provider, request.host) {
        (Provider::Local, None) => Ok(new),
        (Provider::Host, Some(host)) => own_machine(app, new, host),
        _ => Err(Problem::invalid("invalid_body", "`host` is needed for, and only for, the provider `host`.")),
    }
}

/// The key that logs in is made here, so that no key of the client's ever comes to us.
fn own_machine(app: &App, new: NewServer, host: HostMachine) -> Result<NewServer, Problem> {
    if !app.config.dev_mode && host.address.0.names_private_address() {
        return Err(Problem::invalid("private_address", "The machine's address is not on the public internet."));
    }
    let pair = generate_key(&format!("byop-{}", new.id)).map_err(|_| Problem::internal())?;
    let row = new.id.to_string();
    let place = Place { client: new.client, field: servers::LOGIN_KEY_FIELD, row: &row };
    let sealed = app.config.master_key.seal(place, pair.private.expose_secret().as_bytes())?;
    Ok(NewServer {
        address: Some(host.address.0.to_string()),
        ssh_port: host.port.unwrap_or(22).into(),
        ssh_user: host.user.map_or_else(|| "root".into(), |user| user.0.to_string()),
        host_public_key: Some(public_key(&host.host_key)?),
        login_public_key: Some(pair.public),
        login_private_key_sealed: Some(sealed),
        ..new
    })
}
