//! Builds of an app.

use poem_openapi::{
    Object, OpenApi,
    param::{Header, Path, Query},
    payload::Json,
    types::Any,
};
use serde_json::Value;
use shared::{
    domain::{AppId, BuildId, ClientId, CommitSha, GitRef, component::BuildPart, status::BuildStatus},
    queue::{Cancel, Enqueued, JobKind, NewJob, cancel, enqueue},
    store::{
        apps,
        builds::{self, Build, Image, NewBuild},
        image_removals,
    },
};

use super::plans;
use crate::{
    app::{App, Here},
    auth::{Builder, Reader},
    body::OptionalJson,
    idempotency::{Accepted, Answer, Begun, Idempotency, begin},
    logs::{LogStream, LogText, follow, text},
    openapi::Tag,
    page::{Limit, Page},
    problem::Problem,
    quotas::{self, Counted},
    typed::{Moment, Typed},
    words::Word,
};

pub struct Builds;

/// What to build: a commit, or the tip of a branch; the app's branch when neither is given.
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct NewBuildRequest {
    #[oai(rename = "ref")]
    git_ref: Option<Typed<GitRef>>,
    commit: Option<Typed<CommitSha>>,
}

/// An image that a build made.
#[derive(Object)]
#[oai(rename = "BuildImage")]
struct ImageView {
    /// The part of the repository that it was made of, as components name it. With neither this nor `dockerfile_path` it
    /// is the app's own image.
    #[oai(skip_serializing_if_is_none)]
    base_directory: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    dockerfile_path: Option<String>,
    tag: String,
    digest: String,
    /// When it was decided to remove it from the registry. From then on it cannot be deployed, until a build makes it again.
    #[oai(skip_serializing_if_is_none)]
    removed_at: Option<Moment>,
    /// What the part's source was found to be.
    #[oai(skip_serializing_if_is_none)]
    stack: Option<String>,
    /// What it listens on, as far as it was found out.
    #[oai(skip_serializing_if_is_none)]
    port: Option<i64>,
}

impl From<Image> for ImageView {
    fn from(image: Image) -> Self {
        let source = match image.part {
            BuildPart::App => None,
            BuildPart::Source(source) => Some((source.base_directory, source.dockerfile_path)),
        };
        let (base_directory, dockerfile_path) = source.unzip();
        Self {
            base_directory: base_directory.map(|path| path.to_string()),
            dockerfile_path: dockerfile_path.flatten().map(|path| path.to_string()),
            tag: image.tag,
            digest: image.digest,
            removed_at: None,
            stack: image.stack,
            port: image.port,
        }
    }
}

/// A build. What is said of one image is said of the first one.
#[derive(Object)]
#[oai(rename = "Build")]
struct BuildView {
    id: Typed<BuildId>,
    app_id: Typed<AppId>,
    status: Word<BuildStatus>,
    /// The branch, tag or commit that was asked for.
    #[oai(rename = "ref")]
    git_ref: String,
    #[oai(skip_serializing_if_is_none)]
    commit: Option<String>,
    requested_at: Moment,
    #[oai(skip_serializing_if_is_none)]
    started_at: Option<Moment>,
    #[oai(skip_serializing_if_is_none)]
    finished_at: Option<Moment>,
    #[oai(skip_serializing_if_is_none)]
    image_repository: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    image_tag: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    image_digest: Option<String>,
    /// When it was decided to remove the image from the registry, since nothing ran it and newer builds followed. From then
    /// on it cannot be deployed, until a build makes it again.
    #[oai(skip_serializing_if_is_none)]
    image_removed_at: Option<Moment>,
    /// All images that it made: of the app's own source, when a component runs that or none is declared, and of every other
    /// part of the repository that the app's components named when the build was asked for. Only when one build is shown.
    #[oai(skip_serializing_if_is_none)]
    images: Option<Vec<ImageView>>,
    /// What the source was found to be.
    #[oai(skip_serializing_if_is_none)]
    stack: Option<String>,
    /// The Dockerfile that is built. Only when one build is shown.
    #[oai(skip_serializing_if_is_none)]
    dockerfile: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    port: Option<i64>,
    #[oai(skip_serializing_if_is_none)]
    error_code: Option<String>,
    /// What went wrong, and what to do.
    #[oai(skip_serializing_if_is_none)]
    error_message: Option<String>,
    /// Whether it only finds out how the image would be made.
    preview: bool,
    /// What was found in the source, as `byop-generate --json` prints it; also when no image can be made of it. Of several
    /// images it is of the first, and `parts` has each. Only when one build is shown.
    #[oai(skip_serializing_if_is_none)]
    report: Option<Any<Value>>,
    /// A compose file to run the image by hand. Only when one build is shown.
    #[oai(skip_serializing_if_is_none)]
    compose: Option<String>,
    /// Only in the answer to a request: the build was asked for before and is not over.
    #[oai(skip_serializing_if_is_none)]
    already_active: Option<bool>,
}

fn view(build: Build) -> BuildView {
    BuildView {
        id: Typed(build.id),
        app_id: Typed(build.app),
        status: Word(build.status),
        git_ref: build.git_ref,
        commit: build.commit_sha,
        requested_at: Moment(build.requested_at),
        started_at: build.started_at.map(Moment),
        finished_at: build.finished_at.map(Moment),
        image_repository: build.image_repository,
        image_tag: build.image_tag,
        image_digest: build.image_digest,
        image_removed_at: build.image_removed_at.map(Moment),
        images: None,
        stack: build.stack,
        dockerfile: build.dockerfile,
        port: build.port,
        error_code: build.error_code,
        error_message: build.error_message,
        preview: build.preview,
        report: build.report.and_then(|text| serde_json::from_str(&text).ok()).map(Any),
        compose: build.compose,
        already_active: None,
    }
}

fn location(id: BuildId) -> String {
    format!("/v1/builds/{id}")
}

/// Puts a build into the queue, unless one of the same kind for the same commit or branch is not over.
async fn request(
    app: &App,
    client: ClientId,
    id: AppId,
    once: Idempotency,
    body: OptionalJson<NewBuildRequest>,
    preview: bool,
) -> Result<Accepted<BuildView>, Problem> {
    let mut once = match begin(app, client, once).await? {
        Begun::Replay(answer) => return Ok(answer),
        Begun::New(once) => once,
    };
    apps::lock(&mut once.tx, client, id).await?;
    let found = apps::get(&mut once.tx, client, id).await?.ok_or_else(|| Problem::not_found("app"))?;
    let commit = body.0.commit.map(|c| c.0.to_string());
    let branch = body.0.git_ref.map_or_else(|| found.settings.git_branch.clone(), |r| r.0).to_string();
    let build_id = BuildId::new();
    let parts = BuildPart::all(&plans::topology(&mut once.tx, &found).await?);
    let kind = if preview { "preview" } else { "build" };
    let what = format!("{kind}:{id}:{}{}", commit.as_deref().unwrap_or(&branch), others(app, client, &parts));
    let job = NewJob { unique_key: Some(what), ..NewJob::new(JobKind::Build, build_id, client) };
    let enqueued = enqueue(&mut once.tx, &app.db, &job).await?;
    if let Enqueued::New(job) = enqueued {
        let (git_ref, commit_sha) = (branch, commit);
        let new = NewBuild { id: build_id, client, app: id, job, git_ref, commit_sha, preview, parts };
        builds::insert(&mut once.tx, &new, app.db.now_ms()).await?;
        quotas::check(app, &mut once.tx, client, Counted::QueuedJobs).await?;
    }
    let build = builds::find_by_job(&mut once.tx, client, enqueued.id()).await?.ok_or_else(Problem::internal)?;
    let location = location(build.id);
    let active = matches!(enqueued, Enqueued::Active(_));
    once.finish(app, location, BuildView { already_active: Some(active), ..view(build) }).await
}

/// Sets a build of other parts apart from the usual one: it is another build, although of the same commit. Empty for the
/// app's own image alone.
fn others(app: &App, client: ClientId, parts: &[BuildPart]) -> String {
    if parts == BuildPart::only_app() {
        return String::new();
    }
    let texts: Vec<String> = parts.iter().map(ToString::to_string).collect();
    format!(":{}", app.config.master_key.fingerprint(client, texts.iter().map(String::as_str)))
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Builds")]
impl Builds {
    /// Build an app
    ///
    /// Makes an image of each part of the repository that the app's components name now. While a build of the same app,
    /// parts and commit or branch is not over, it is answered again, with `already_active`.
    /// Needs scope `build`.
    #[oai(path = "/apps/:app_id/builds", method = "post", operation_id = "create_build")]
    async fn create(
        &self,
        caller: Builder,
        app: Here,
        app_id: Path<Typed<AppId>>,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
        body: OptionalJson<NewBuildRequest>,
    ) -> Result<Accepted<BuildView>, Problem> {
        request(&app, caller.client, app_id.0.0, once, body, false).await
    }

    /// Look at an app's source
    ///
    /// Finds out what the source is and how its image would be made, and makes none: a build with `preview`, whose
    /// `report`, `dockerfile` and `compose` are there once its status is `success`. The `report` is also there when the
    /// status is `failed` because no image can be made of the source: it has every candidate and what stands in the
    /// way. Needs scope `build`.
    #[oai(path = "/apps/:app_id/detect", method = "post", operation_id = "detect_app")]
    async fn detect(
        &self,
        caller: Builder,
        app: Here,
        app_id: Path<Typed<AppId>>,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
        body: OptionalJson<NewBuildRequest>,
    ) -> Result<Accepted<BuildView>, Problem> {
        request(&app, caller.client, app_id.0.0, once, body, true).await
    }

    /// List an app's builds
    ///
    /// Needs scope `read`.
    #[oai(path = "/apps/:app_id/builds", method = "get", operation_id = "list_app_builds")]
    async fn list_of_app(
        &self,
        caller: Reader,
        app: Here,
        app_id: Path<Typed<AppId>>,
        cursor: Query<Option<Typed<BuildId>>>,
        limit: Query<Limit>,
    ) -> Result<Json<Page<BuildView>>, Problem> {
        let id = app_id.0.0;
        apps::get(&app.db, caller.client, id).await?.ok_or_else(|| Problem::not_found("app"))?;
        let rows = builds::list(&app.db, caller.client, Some(id), cursor.0.map(|c| c.0), limit.rows()).await?;
        Ok(Json(limit.page(rows, |build| build.id.to_string(), view)))
    }

    /// List builds
    ///
    /// Of one app when it is given. Needs scope `read`.
    #[oai(path = "/builds", method = "get", operation_id = "list_builds")]
    async fn list(
        &self,
        caller: Reader,
        app: Here,
        app_id: Query<Option<Typed<AppId>>>,
        cursor: Query<Option<Typed<BuildId>>>,
        limit: Query<Limit>,
    ) -> Result<Json<Page<BuildView>>, Problem> {
        let (of, before) = (app_id.0.map(|id| id.0), cursor.0.map(|c| c.0));
        let rows = builds::list(&app.db, caller.client, of, before, limit.rows()).await?;
        Ok(Json(limit.page(rows, |build| build.id.to_string(), view)))
    }

    /// Show a build
    ///
    /// Needs scope `read`.
    #[oai(path = "/builds/:build_id", method = "get", operation_id = "get_build")]
    async fn get(&self, caller: Reader, app: Here, build_id: Path<Typed<BuildId>>) -> Result<Json<BuildView>, Problem> {
        let found = builds::get(&app.db, caller.client, build_id.0.0).await?;
        let build = found.ok_or_else(|| Problem::not_found("build"))?;
        let removed = image_removals::of_build(&app.db, &build).await?;
        let show = |image: Image| {
            let removed_at = removed.get(&image.digest).copied().map(Moment);
            ImageView { removed_at, ..image.into() }
        };
        let images = builds::images(&app.db, &build).await?.into_iter().map(show).collect();
        let images = Some(images).filter(|images: &Vec<_>| !images.is_empty());
        Ok(Json(BuildView { images, ..view(build) }))
    }

    /// Cancel a build
    ///
    /// Its status follows when its processes are stopped. Needs scope `build`.
    #[oai(path = "/builds/:build_id/cancel", method = "post", operation_id = "cancel_build")]
    async fn cancel(
        &self,
        caller: Builder,
        app: Here,
        build_id: Path<Typed<BuildId>>,
    ) -> Result<Accepted<BuildView>, Problem> {
        let mut tx = app.db.begin().await?;
        let found = builds::get(&mut tx, caller.client, build_id.0.0).await?;
        let build = found.ok_or_else(|| Problem::not_found("build"))?;
        let cancelled = cancel(&mut tx, &app.db, build.job).await?;
        tx.commit().await?;
        if cancelled == Cancel::TooLate && matches!(build.status, BuildStatus::Success | BuildStatus::Failed) {
            return Err(Problem::conflict("already_finished", "The build is over."));
        }
        Ok(Answer::plain(location(build.id), view(build)))
    }

    /// Read a build's log
    ///
    /// Needs scope `read`.
    #[oai(path = "/builds/:build_id/logs", method = "get", operation_id = "get_build_logs")]
    async fn logs(
        &self,
        caller: Reader,
        app: Here,
        build_id: Path<Typed<BuildId>>,
        after: Query<Option<i64>>,
    ) -> Result<LogText, Problem> {
        text(&app, &caller, build_id.0.0, after.0).await
    }

    /// Follow a build's log
    ///
    /// Server-sent events with a `LogEvent` each; the last one has the type `end`. Needs scope `read`.
    #[oai(path = "/builds/:build_id/logs/stream", method = "get", operation_id = "stream_build_logs")]
    async fn stream(
        &self,
        caller: Reader,
        app: Here,
        build_id: Path<Typed<BuildId>>,
        #[oai(name = "Last-Event-ID")] last_event_id: Header<Option<String>>,
    ) -> Result<LogStream, Problem> {
        follow(&app, &caller, build_id.0.0, last_event_id.0).await
    }
}
