//! Apps: what is built from which source.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use shared::{
    domain::{AppId, BuildId, ClientId, DeployKeyId, GitRef, GitUrl, GitUrlPolicy, HealthPath, RelPath, Slug},
    queue::cancel,
    store::{
        Tx,
        apps::{self, App, AppSettings, DockerfileMode},
        builds, deploy_keys, env,
    },
};

use super::{Gone, names::slug_taken};
use crate::{
    app::Here,
    auth::{Admin, Reader},
    idempotency::{Begun, Created, Idempotency, begin},
    openapi::Tag,
    page::{Limit, Page},
    patch::{Change, Clear},
    problem::Problem,
    quotas::{self, Counted},
    typed::{Moment, Typed},
    words::Word,
};

pub struct Apps;

#[derive(Object)]
#[oai(deny_unknown_fields)]
struct NewApp {
    slug: Typed<Slug>,
    /// `https://host/path`, `ssh://user@host/path` or `user@host:path`.
    git_url: String,
    /// `main` when absent.
    git_branch: Option<Typed<GitRef>>,
    /// Where in the repository the app is; its root when absent.
    base_directory: Option<Typed<RelPath>>,
    /// The repository's Dockerfile, relative to the base directory.
    dockerfile_path: Option<Typed<RelPath>>,
    /// `auto` when absent.
    dockerfile_mode: Option<Word<DockerfileMode>>,
    /// Whether submodules are fetched; not when absent.
    submodules: Option<bool>,
    /// The port the app listens on; the build finds it out when absent.
    #[oai(validator(minimum(value = "1")))]
    port: Option<u16>,
    health_path: Option<Typed<HealthPath>>,
    /// The key that reads the repository over SSH.
    deploy_key_id: Option<Typed<DeployKeyId>>,
}

/// What is absent stays; `null` removes what an app can be without.
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct AppChanges {
    slug: Change<Typed<Slug>>,
    git_url: Change<String>,
    git_branch: Change<Typed<GitRef>>,
    base_directory: Change<Typed<RelPath>>,
    dockerfile_path: Clear<Typed<RelPath>>,
    dockerfile_mode: Change<Word<DockerfileMode>>,
    submodules: Change<bool>,
    #[oai(validator(minimum(value = "1")))]
    port: Clear<u16>,
    health_path: Clear<Typed<HealthPath>>,
    deploy_key_id: Clear<Typed<DeployKeyId>>,
}

/// The image of the latest successful build.
#[derive(Object)]
#[oai(rename = "Image")]
struct ImageView {
    build_id: Typed<BuildId>,
    tag: String,
    digest: String,
}

/// An app.
#[derive(Object)]
#[oai(rename = "App")]
struct AppView {
    id: Typed<AppId>,
    slug: String,
    git_url: String,
    git_branch: String,
    base_directory: String,
    #[oai(skip_serializing_if_is_none)]
    dockerfile_path: Option<String>,
    dockerfile_mode: Word<DockerfileMode>,
    submodules: bool,
    #[oai(skip_serializing_if_is_none)]
    port: Option<u16>,
    #[oai(skip_serializing_if_is_none)]
    health_path: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    deploy_key_id: Option<Typed<DeployKeyId>>,
    #[oai(skip_serializing_if_is_none)]
    current_image: Option<ImageView>,
    created_at: Moment,
    updated_at: Moment,
}

fn view(app: App) -> AppView {
    let s = app.settings;
    AppView {
        id: Typed(app.id),
        slug: s.slug.to_string(),
        git_url: s.git_url.to_string(),
        git_branch: s.git_branch.to_string(),
        base_directory: s.base_directory.to_string(),
        dockerfile_path: s.dockerfile_path.map(|path| path.to_string()),
        dockerfile_mode: Word(s.dockerfile_mode),
        submodules: s.submodules,
        port: s.port,
        health_path: s.health_path.map(|path| path.to_string()),
        deploy_key_id: s.deploy_key.map(Typed),
        current_image: app.current.map(|i| ImageView { build_id: Typed(i.build), tag: i.tag, digest: i.digest }),
        created_at: Moment(app.created_at),
        updated_at: Moment(app.updated_at),
    }
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Apps")]
impl Apps {
    /// Register an app
    ///
    /// Needs scope `admin`.
    #[oai(path = "/apps", method = "post", operation_id = "create_app")]
    async fn create(
        &self,
        caller: Admin,
        app: Here,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
        body: Json<NewApp>,
    ) -> Result<Created<AppView>, Problem> {
        let settings = new_settings(body.0, app.config.git_policy())?;
        let mut once = match begin(&app, caller.client, once).await? {
            Begun::Replay(answer) => return Ok(answer),
            Begun::New(once) => once,
        };
        check_deploy_key(&mut once.tx, caller.client, settings.deploy_key).await?;
        let (id, now) = (AppId::new(), app.db.now_ms());
        apps::insert(&mut once.tx, now, caller.client, id, &settings).await.map_err(slug_taken("an app"))?;
        quotas::check(&app, &mut once.tx, caller.client, Counted::Apps).await?;
        let made = App { id, client: caller.client, settings, current: None, created_at: now, updated_at: now };
        once.finish(&app, format!("/v1/apps/{id}"), view(made)).await
    }

    /// List apps
    ///
    /// Needs scope `read`.
    #[oai(path = "/apps", method = "get", operation_id = "list_apps")]
    async fn list(
        &self,
        caller: Reader,
        app: Here,
        cursor: Query<Option<Typed<AppId>>>,
        limit: Query<Limit>,
    ) -> Result<Json<Page<AppView>>, Problem> {
        let rows = apps::list(&app.db, caller.client, cursor.0.map(|c| c.0), limit.rows()).await?;
        Ok(Json(limit.page(rows, |app| app.id.to_string(), view)))
    }

    /// Show an app
    ///
    /// Needs scope `read`.
    #[oai(path = "/apps/:app_id", method = "get", operation_id = "get_app")]
    async fn get(&self, caller: Reader, app: Here, app_id: Path<Typed<AppId>>) -> Result<Json<AppView>, Problem> {
        let found = apps::get(&app.db, caller.client, app_id.0.0).await?;
        Ok(Json(view(found.ok_or_else(|| Problem::not_found("app"))?)))
    }

    /// Change an app
    ///
    /// Needs scope `admin`.
    #[oai(path = "/apps/:app_id", method = "patch", operation_id = "update_app")]
    async fn update(
        &self,
        caller: Admin,
        app: Here,
        app_id: Path<Typed<AppId>>,
        body: Json<AppChanges>,
    ) -> Result<Json<AppView>, Problem> {
        let id = app_id.0.0;
        let mut tx = app.db.begin().await?;
        let found = apps::get(&mut tx, caller.client, id).await?.ok_or_else(|| Problem::not_found("app"))?;
        let settings = changed(found.settings, body.0, app.config.git_policy())?;
        check_deploy_key(&mut tx, caller.client, settings.deploy_key).await?;
        apps::update(&mut tx, app.db.now_ms(), caller.client, id, &settings).await.map_err(slug_taken("an app"))?;
        let now = apps::get(&mut tx, caller.client, id).await?.ok_or_else(|| Problem::not_found("app"))?;
        tx.commit().await?;
        Ok(Json(view(now)))
    }

    /// Delete an app
    ///
    /// Its deployments have to be deleted before. Its variables are forgotten and its builds cancelled.
    /// Needs scope `admin`.
    #[oai(path = "/apps/:app_id", method = "delete", operation_id = "delete_app")]
    async fn delete(&self, caller: Admin, app: Here, app_id: Path<Typed<AppId>>) -> Result<Gone, Problem> {
        let (client, id) = (caller.client, app_id.0.0);
        let mut tx = app.db.begin().await?;
        if !apps::lock(&mut tx, client, id).await? {
            return Err(Problem::not_found("app"));
        }
        if !apps::delete(&mut tx, app.db.now_ms(), client, id).await? {
            return Err(Problem::conflict("app_in_use", "Delete the app's deployments first."));
        }
        env::delete_all(&mut tx, client, env::Owner::App(id)).await?;
        for job in builds::active_jobs(&mut tx, client, id).await? {
            cancel(&mut tx, &app.db, job).await?;
        }
        tx.commit().await?;
        Ok(Gone::Gone)
    }
}

fn new_settings(new: NewApp, policy: GitUrlPolicy) -> Result<AppSettings, Problem> {
    Ok(AppSettings {
        slug: new.slug.0,
        git_url: git_url(&new.git_url, policy)?,
        git_branch: match new.git_branch {
            Some(branch) => branch.0,
            None => "main".parse()?,
        },
        base_directory: new.base_directory.map_or_else(RelPath::root, |path| path.0),
        dockerfile_path: new.dockerfile_path.map(|path| path.0),
        dockerfile_mode: new.dockerfile_mode.map_or(DockerfileMode::Auto, |mode| mode.0),
        submodules: new.submodules.unwrap_or(false),
        port: new.port,
        health_path: new.health_path.map(|path| path.0),
        deploy_key: new.deploy_key_id.map(|id| id.0),
    })
}

fn changed(old: AppSettings, new: AppChanges, policy: GitUrlPolicy) -> Result<AppSettings, Problem> {
    Ok(AppSettings {
        slug: new.slug.or(Typed(old.slug)).0,
        git_url: match new.git_url.given() {
            Some(url) => git_url(&url, policy)?,
            None => old.git_url,
        },
        git_branch: new.git_branch.or(Typed(old.git_branch)).0,
        base_directory: new.base_directory.or(Typed(old.base_directory)).0,
        dockerfile_path: new.dockerfile_path.or(old.dockerfile_path.map(Typed)).map(|path| path.0),
        dockerfile_mode: new.dockerfile_mode.or(Word(old.dockerfile_mode)).0,
        submodules: new.submodules.or(old.submodules),
        port: new.port.or(old.port),
        health_path: new.health_path.or(old.health_path.map(Typed)).map(|path| path.0),
        deploy_key: new.deploy_key_id.or(old.deploy_key.map(Typed)).map(|id| id.0),
    })
}

fn git_url(text: &str, policy: GitUrlPolicy) -> Result<GitUrl, Problem> {
    let url = GitUrl::parse(text, policy).map_err(|e| Problem::invalid("invalid_git_url", e.to_string()))?;
    if policy == GitUrlPolicy::Production && url.names_private_address() {
        return Err(Problem::invalid("invalid_git_url", "The Git URL leads to a private address."));
    }
    Ok(url)
}

async fn check_deploy_key(tx: &mut Tx, client: ClientId, id: Option<DeployKeyId>) -> Result<(), Problem> {
    let Some(id) = id else { return Ok(()) };
    deploy_keys::get(tx, client, id).await?.map(|_| ()).ok_or_else(|| Problem::not_found("deploy key"))
}
