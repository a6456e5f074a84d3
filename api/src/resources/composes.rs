//! A deployment as a compose file, to be run without the engine.
//!
//! Invariant: the file holds no secret: the environment is named, not told, and passwords are variables. Absent: the file
//! that runs on the server, which a deployment shows itself.

use poem_openapi::{ApiResponse, OpenApi, param::Path, payload::PlainText};
use shared::{
    domain::{DeploymentId, component::Component},
    generate,
    store::{apps, deployments, services},
};

use super::plans;
use crate::{app::Here, auth::Reader, environment::Environment, openapi::Tag, problem::Problem, typed::Typed};

pub struct Composes;

#[derive(ApiResponse)]
enum ComposeText {
    /// A compose file.
    #[oai(status = 200)]
    Yaml(PlainText<String>),
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Deployments")]
impl Composes {
    /// Get a compose file of a deployment
    ///
    /// It runs by hand with plain `docker compose up`, with the same images, and services of its own in place of the
    /// managed ones. Its first lines say what has to be given. Needs scope `read`.
    #[oai(path = "/deployments/:deployment_id/compose", method = "get", operation_id = "get_deployment_compose")]
    async fn get(
        &self,
        caller: Reader,
        app: Here,
        deployment_id: Path<Typed<DeploymentId>>,
    ) -> Result<ComposeText, Problem> {
        let found = deployments::get(&app.db, caller.client, deployment_id.0.0).await?;
        let d = found.ok_or_else(|| Problem::not_found("deployment"))?;
        // One that was deleted may outlive its app.
        let name = match apps::get(&app.db, d.client, d.app).await? {
            Some(of) => of.settings.slug,
            None => "app".parse()?,
        };
        let plan = d.plan()?;
        let known = services::of_app(&app.db, d.client, d.server, d.app).await?;
        let image = |c: &Component| {
            let version = known.iter().find(|s| s.component == c.name).map(|s| s.version.clone());
            let version = version.or_else(|| plans::version(c).ok());
            format!("{}:{}", c.kind, version.as_ref().map_or("latest", |v| v.as_str()))
        };
        let variables = Environment::frozen(&app.config.master_key, &d)?.names();
        let text = generate::portable_compose(&name, &plan, &app.config.registry_host, &variables, image);
        Ok(ComposeText::Yaml(PlainText(text.map_err(|_| Problem::internal())?)))
    }
}
