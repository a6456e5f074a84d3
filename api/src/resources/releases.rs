//! How a deployment begins: which image, which server, which environment, which domain.
//!
//! Invariant: everything the deployment needs is frozen here, so a change of the app meanwhile does not reach it.

use poem_openapi::{Object, OpenApi, param::Path, payload::Json};
use shared::{
    domain::{AppId, BuildId, CustomerId, DeploymentId, DomainName, ImageDigest, ServerId, status::BuildStatus},
    names,
    store::{
        Tx, apps,
        builds::{self, Build},
        customers, deployments,
        deployments::{Deployment, NewDeployment},
        domains, servers,
    },
};

use super::{
    deployments::{DeploymentView, location, view},
    work,
};
use crate::{
    app::{App, Here},
    auth::{Caller, Deployer},
    environment::{Environment, Of},
    idempotency::{Accepted, Begun, Idempotency, begin},
    openapi::Tag,
    problem::Problem,
    quotas::{self, Counted},
    typed::Typed,
};

pub struct Releases;

/// What to deploy where. Either the customer, whose newest server is taken, or the server.
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct NewDeploymentRequest {
    customer_id: Option<Typed<CustomerId>>,
    server_id: Option<Typed<ServerId>>,
    /// A successful build of the app. The app's current image is taken when neither this nor `image_digest` is given.
    build_id: Option<Typed<BuildId>>,
    /// An image that a build of the app made: `sha256:` and 64 hexadecimal digits.
    image_digest: Option<Typed<ImageDigest>>,
    domain: Typed<DomainName>,
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Deployments")]
impl Releases {
    /// Deploy an app
    ///
    /// Needs scope `deploy`.
    #[oai(path = "/apps/:app_id/deployments", method = "post", operation_id = "create_deployment")]
    async fn create(
        &self,
        caller: Deployer,
        app: Here,
        app_id: Path<Typed<AppId>>,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
        body: Json<NewDeploymentRequest>,
    ) -> Result<Accepted<DeploymentView>, Problem> {
        let mut once = match begin(&app, caller.client, once).await? {
            Begun::Replay(answer) => return Ok(answer),
            Begun::New(once) => once,
        };
        let made = release(&app, &mut once.tx, &caller, app_id.0.0, body.0).await?;
        quotas::check(&app, &mut once.tx, caller.client, Counted::QueuedJobs).await?;
        once.finish(&app, location(made.id), view(made)).await
    }
}

async fn release(
    app: &App,
    tx: &mut Tx,
    caller: &Caller,
    app_id: AppId,
    request: NewDeploymentRequest,
) -> Result<Deployment, Problem> {
    let client = caller.client;
    apps::lock(tx, client, app_id).await?;
    let deployed = apps::get(&mut *tx, client, app_id).await?.ok_or_else(|| Problem::not_found("app"))?;
    let server = choose_server(tx, caller, &request).await?;
    let build = choose_build(tx, caller, &deployed, &request).await?;
    let domain = request.domain.0;
    let (id, key) = (DeploymentId::new(), &app.config.master_key);
    let environment = Environment::now(&mut *tx, key, Of { client, app: app_id, customer: server.customer }).await?;
    let new = NewDeployment {
        id,
        client,
        app: app_id,
        customer: server.customer,
        server: server.id,
        build: Some(build.id),
        sequence: deployments::next_sequence(tx, client, server.id, app_id).await?,
        image_repository: build.repository,
        image_tag: build.tag,
        image_digest: build.digest,
        port: port(&deployed, build.port)?,
        health_path: deployed
            .settings
            .health_path
            .map(|path| path.to_string())
            .or(build.health_path)
            .unwrap_or("/".into()),
        domain: domain.to_string(),
        env_sealed: environment.seal(key, client, id)?,
    };
    begin_release(app, tx, &server, &domain, &new).await
}

/// Records a deployment with everything frozen, and puts its job into the queue. Its domain is the app's on the server from
/// then on.
pub async fn begin_release(
    app: &App,
    tx: &mut Tx,
    server: &servers::Server,
    domain: &DomainName,
    new: &NewDeployment,
) -> Result<Deployment, Problem> {
    let client = new.client;
    claim_domain(app, tx, domain, domains::Holder { client, app: new.app, server: server.id }).await?;
    names::ask(tx, &app.db, client, domain.as_str(), server.address.as_deref()).await?;
    deployments::insert(tx, &app.db, new).await?;
    let made = deployments::get(&mut *tx, client, new.id).await?.ok_or_else(Problem::internal)?;
    work::on_deployment(app, tx, &made).await
}

fn port(app: &apps::App, found: Option<i64>) -> Result<i64, Problem> {
    let detail = "The build could not tell which port the app listens on. Set the app's port.";
    app.settings.port.map(i64::from).or(found).ok_or_else(|| Problem::conflict("port_unknown", detail))
}

/// The server is held, so that it is not deleted before the deployment is recorded.
async fn choose_server(
    tx: &mut Tx,
    caller: &Caller,
    request: &NewDeploymentRequest,
) -> Result<servers::Server, Problem> {
    let id = match (&request.customer_id, &request.server_id) {
        (None, Some(Typed(id))) => *id,
        (Some(Typed(id)), None) => {
            customers::get(&mut *tx, caller.client, *id).await?.ok_or_else(|| Problem::not_found("customer"))?;
            let found = servers::usable_for(&mut *tx, caller.client, *id).await?;
            found.ok_or_else(|| Problem::conflict("no_server", "The customer has no server. Provision one."))?.id
        }
        _ => return Err(Problem::invalid("invalid_body", "Give either customer_id or server_id.")),
    };
    servers::lock(tx, caller.client, id).await?;
    let server = servers::get(&mut *tx, caller.client, id).await?.ok_or_else(|| Problem::not_found("server"))?;
    match is_usable(&server) {
        true => Ok(server),
        false => Err(Problem::conflict("server_not_usable", format!("The server is {}.", server.status))),
    }
}

/// Ready, or on its way: the deployment's job waits for the server's.
pub fn is_usable(server: &servers::Server) -> bool {
    use shared::domain::status::ServerStatus as S;
    server.delete_requested_at.is_none()
        && matches!(server.status, S::Requested | S::Creating | S::Booting | S::Bootstrapping | S::Ready)
}

struct Image {
    id: BuildId,
    repository: String,
    tag: Option<String>,
    digest: String,
    port: Option<i64>,
    health_path: Option<String>,
}

async fn choose_build(
    tx: &mut Tx,
    caller: &Caller,
    app: &apps::App,
    request: &NewDeploymentRequest,
) -> Result<Image, Problem> {
    let build = match (&request.build_id, &request.image_digest) {
        (Some(Typed(id)), _) => builds::get(&mut *tx, caller.client, *id).await?.filter(|build| build.app == app.id),
        (None, Some(Typed(digest))) => {
            let found = builds::find_by_digest(&mut *tx, caller.client, app.id, digest).await?;
            Some(found.ok_or_else(|| Problem::not_found("image of the app"))?)
        }
        (None, None) => {
            let no_image = || Problem::conflict("no_image", "The app has no image yet. Build it.");
            let current = app.current.as_ref().ok_or_else(no_image)?;
            builds::get(&mut *tx, caller.client, current.build).await?
        }
    };
    let image = image(build.ok_or_else(|| Problem::not_found("build"))?)?;
    match &request.image_digest {
        Some(Typed(digest)) if digest.as_str() != image.digest => {
            Err(Problem::conflict("image_mismatch", "The build made another image."))
        }
        _ => Ok(image),
    }
}

fn image(build: Build) -> Result<Image, Problem> {
    match (build.status, build.image_repository, build.image_digest) {
        (BuildStatus::Success, Some(repository), Some(digest)) => Ok(Image {
            id: build.id,
            repository,
            tag: build.image_tag,
            digest,
            port: build.port,
            health_path: build.health_path,
        }),
        _ if build.preview => {
            Err(Problem::conflict("build_is_preview", "The build was a preview and made no image. Build the app."))
        }
        (status, ..) => Err(Problem::conflict("build_not_successful", format!("The build is {status}."))),
    }
}

/// A domain that no deployment serves any more, nor may come to serve, is free.
pub async fn claim_domain(app: &App, tx: &mut Tx, domain: &DomainName, holder: domains::Holder) -> Result<(), Problem> {
    domains::release_stale(tx, domain).await?;
    match domains::claim(tx, app.db.now_ms(), domain, &holder).await? {
        true => Ok(()),
        false => Err(Problem::conflict("domain_taken", "Another app or server answers at this domain.")),
    }
}
