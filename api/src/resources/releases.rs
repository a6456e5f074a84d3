//! How a deployment begins: which image, which server, which environment, which domain.
//!
//! Invariant: everything the deployment needs is frozen here, so a change of the app meanwhile does not reach it.

use poem_openapi::{Object, OpenApi, param::Path, payload::Json};
use shared::{
    domain::{
        AppId, BuildId, CustomerId, DeploymentId, DomainName, DomainPattern, ImageDigest, ServerId,
        release::{FrozenImage, Redirect, ReleasePlan},
        status::BuildStatus,
    },
    names,
    store::{
        Tx, apps,
        builds::{self, Build, Image},
        customers, deployments,
        deployments::{Deployment, NewDeployment},
        domains, servers,
    },
};

use super::{
    claims::{Purpose, claim_domains, in_order},
    deployments::{DeploymentView, location, view},
    plans::{self, Domains},
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
    /// A successful build of the app. The app's current image is taken when neither this nor `image_digest` is given. An app
    /// of which no component runs an image that a build makes takes neither.
    build_id: Option<Typed<BuildId>>,
    /// An image that a build of the app made: `sha256:` and 64 hexadecimal digits. The other components get the images of
    /// the same build.
    image_digest: Option<Typed<ImageDigest>>,
    /// Where it answers. An app without a web component has none.
    domain: Option<Typed<DomainPattern>>,
    /// Further domains where it answers.
    domains: Option<Vec<Typed<DomainPattern>>>,
    /// Domains whose visitors are sent on to one of the others.
    redirects: Option<Vec<RedirectRequest>>,
}

/// A domain whose visitors are sent on, with their path.
#[derive(Object)]
#[oai(rename = "Redirect", deny_unknown_fields)]
struct RedirectRequest {
    from: Typed<DomainPattern>,
    to: Typed<DomainPattern>,
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
    let topology = plans::topology(tx, &deployed).await?;
    let build = match plans::needs_build(&topology) {
        true => Some(choose_build(tx, caller, &deployed, &request).await?),
        false if request.build_id.is_some() || request.image_digest.is_some() => {
            let detail =
                "No component of the app runs an image that a build makes. Leave build_id and image_digest out.";
            return Err(Problem::invalid("build_not_used", detail));
        }
        false => None,
    };
    let images = build.as_ref().map_or(&[][..], |build| &build.images);
    let plan = plans::freeze(&deployed, &topology, images, domains(request)?)?;
    let image_tag = tag_of(&plan, images);
    plans::ensure_services(app, tx, &server, &deployed, &plan).await?;
    let (id, key) = (DeploymentId::new(), &app.config.master_key);
    let environment = Environment::now(&mut *tx, key, Of { client, app: app_id, customer: server.customer }).await?;
    let new = NewDeployment {
        id,
        client,
        app: app_id,
        customer: server.customer,
        server: server.id,
        build: build.as_ref().map(|build| build.id),
        sequence: deployments::next_sequence(tx, client, server.id, app_id).await?,
        image_tag,
        plan,
        prepared: false,
        env_sealed: environment.seal(key, client, id)?,
    };
    begin_release(app, tx, &server, &new, Purpose::New).await
}

fn domains(request: NewDeploymentRequest) -> Result<Domains, Problem> {
    let own = request.domain.into_iter().chain(request.domains.into_iter().flatten());
    let redirects = request.redirects.into_iter().flatten();
    let redirect = |asked: RedirectRequest| Ok(Redirect { from: one_name(&asked.from.0)?, to: one_name(&asked.to.0)? });
    Ok(Domains {
        domains: own.map(|domain| one_name(&domain.0)).collect::<Result<_, Problem>>()?,
        redirects: redirects.map(redirect).collect::<Result<_, Problem>>()?,
    })
}

/// A wildcard's certificate needs DNS-01, so credentials for the zone on the customer's server.
pub fn one_name(asked: &DomainPattern) -> Result<DomainName, Problem> {
    asked.one().ok_or_else(|| Problem::invalid("wildcard_unsupported", "Name each domain: wildcards are not offered."))
}

/// Records a deployment with everything frozen, and puts its job into the queue. Its domains are the app's on the server
/// from then on. The caller holds the app's row, so that its images stay.
pub async fn begin_release(
    app: &App,
    tx: &mut Tx,
    server: &servers::Server,
    new: &NewDeployment,
    purpose: Purpose,
) -> Result<Deployment, Problem> {
    let client = new.client;
    plans::check_images(tx, new.app, &new.plan).await?;
    let holder = domains::Holder { client, app: new.app, server: server.id };
    claim_domains(app, tx, &new.plan, &holder, purpose).await?;
    for domain in in_order(&new.plan) {
        names::ask(tx, &app.db, client, domain.as_str(), server.address.as_deref()).await?;
    }
    deployments::insert(tx, &app.db, new).await?;
    let made = deployments::get(&mut *tx, client, new.id).await?.ok_or_else(Problem::internal)?;
    work::on_deployment(app, tx, &made).await
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

/// The tag of the image that stands for the whole.
fn tag_of(plan: &ReleasePlan, images: &[Image]) -> Option<String> {
    let FrozenImage::Built { digest, .. } = &plan.main()?.image else { return None };
    images.iter().find(|image| image.digest == digest.as_str()).map(|image| image.tag.clone())
}

/// A build that ended well.
struct Built {
    id: BuildId,
    images: Vec<Image>,
}

async fn choose_build(
    tx: &mut Tx,
    caller: &Caller,
    app: &apps::App,
    request: &NewDeploymentRequest,
) -> Result<Built, Problem> {
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
    let built = built(tx, build.ok_or_else(|| Problem::not_found("build"))?).await?;
    match &request.image_digest {
        Some(Typed(digest)) if !built.images.iter().any(|image| image.digest == digest.as_str()) => {
            Err(Problem::conflict("image_mismatch", "The build made no such image."))
        }
        _ => Ok(built),
    }
}

async fn built(tx: &mut Tx, build: Build) -> Result<Built, Problem> {
    match build.status {
        BuildStatus::Success if !build.preview => {
            Ok(Built { id: build.id, images: builds::images(&mut *tx, &build).await? })
        }
        _ if build.preview => {
            Err(Problem::conflict("build_is_preview", "The build was a preview and made no image. Build the app."))
        }
        status => Err(Problem::conflict("build_not_successful", format!("The build is {status}."))),
    }
}
