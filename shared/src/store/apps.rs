//! Apps: what a client builds and deploys.
//!
//! Invariant: a deleted app is kept for its builds and deployments but found by nobody who asks for apps; its slug is
//! free again. Absent: the environment ([`super::env`]), the source itself, and the current
//! image's writing, which is part of a build's success ([`super::builds`]).

use super::{Db, DbError, On, Row, Tx, sql};
use crate::domain::{AppId, BuildId, ClientId, DeployKeyId, GitRef, GitUrl, GitUrlPolicy, HealthPath, RelPath, Slug};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, client_id, slug, git_url, git_branch, base_directory, dockerfile_path, dockerfile_mode,
                    submodules, port, health_path, deploy_key_id, current_image_tag, current_image_digest,
                    current_build_id, created_at, updated_at
             from apps ",
            $rest
        )
    };
}

/// Where the Dockerfile comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DockerfileMode {
    /// The repository's own when it has one, else a generated one.
    Auto,
    /// Always a generated one.
    Generate,
}

impl DockerfileMode {
    pub const ALL: &'static [Self] = &[Self::Auto, Self::Generate];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Generate => "generate",
        }
    }
}

/// What a client says about an app; all of it can be changed later.
#[derive(Clone, Debug)]
pub struct AppSettings {
    pub slug: Slug,
    pub git_url: GitUrl,
    pub git_branch: GitRef,
    pub base_directory: RelPath,
    pub dockerfile_path: Option<RelPath>,
    pub dockerfile_mode: DockerfileMode,
    pub submodules: bool,
    /// The port the app listens on; `None` is found out by the build.
    pub port: Option<u16>,
    pub health_path: Option<HealthPath>,
    pub deploy_key: Option<DeployKeyId>,
}

/// The image that a build made, and its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentImage {
    pub build: BuildId,
    pub tag: String,
    pub digest: String,
}

/// A stored app.
#[derive(Clone, Debug)]
pub struct App {
    pub id: AppId,
    pub client: ClientId,
    pub settings: AppSettings,
    /// What the latest successful build made.
    pub current: Option<CurrentImage>,
    pub created_at: i64,
    pub updated_at: i64,
}

impl App {
    /// The app's repository in the registry, without the registry's host.
    pub fn repository(&self) -> String {
        repository(self.client, self.id)
    }
}

/// The repository of an app in the registry, without the registry's host.
pub fn repository(client: ClientId, app: AppId) -> String {
    format!("{}/{}", client.0.as_simple(), app.0.as_simple())
}

pub async fn insert(tx: &mut Tx, now: i64, client: ClientId, id: AppId, s: &AppSettings) -> Result<(), DbError> {
    sql("insert into apps (id, client_id, slug, git_url, git_branch, base_directory, dockerfile_path, dockerfile_mode,
                           submodules, port, health_path, deploy_key_id, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13)")
    .text(id)
    .text(client)
    .text(&s.slug)
    .text(&s.git_url)
    .text(&s.git_branch)
    .text(&s.base_directory)
    .opt_text(s.dockerfile_path.as_ref())
    .text(s.dockerfile_mode.as_str())
    .int(s.submodules.into())
    .opt_int(s.port.map(i64::from))
    .opt_text(s.health_path.as_ref())
    .opt_text(s.deploy_key)
    .int(now)
    .execute(tx)
    .await
    .map(|_| ())
}

/// Replaces everything a client says about an app. False when there is no such app.
pub async fn update(tx: &mut Tx, now: i64, client: ClientId, id: AppId, s: &AppSettings) -> Result<bool, DbError> {
    let set =
        sql("update apps set slug = $1, git_url = $2, git_branch = $3, base_directory = $4, dockerfile_path = $5,
                          dockerfile_mode = $6, submodules = $7, port = $8, health_path = $9, deploy_key_id = $10,
                          updated_at = $11
                   where id = $12 and client_id = $13 and deleted_at is null")
        .text(&s.slug)
        .text(&s.git_url)
        .text(&s.git_branch)
        .text(&s.base_directory)
        .opt_text(s.dockerfile_path.as_ref())
        .text(s.dockerfile_mode.as_str())
        .int(s.submodules.into())
        .opt_int(s.port.map(i64::from))
        .opt_text(s.health_path.as_ref())
        .opt_text(s.deploy_key)
        .int(now)
        .text(id)
        .text(client);
    Ok(set.execute(tx).await? == 1)
}

pub async fn get(on: impl Into<On<'_>>, client: ClientId, id: AppId) -> Result<Option<App>, DbError> {
    sql(select!("where id = $1 and client_id = $2 and deleted_at is null"))
        .text(id)
        .text(client)
        .fetch_optional(on, read)
        .await
}

/// Holds an app's row until the transaction ends, so that what is decided about the app stays true. False when there is
/// no such app.
pub async fn lock(tx: &mut Tx, client: ClientId, id: AppId) -> Result<bool, DbError> {
    let lock = sql("update apps set updated_at = updated_at where id = $1 and client_id = $2 and deleted_at is null");
    Ok(lock.text(id).text(client).execute(tx).await? == 1)
}

/// A client's apps, newest first, those older than `before`.
pub async fn list(
    on: impl Into<On<'_>>,
    client: ClientId,
    before: Option<AppId>,
    limit: i64,
) -> Result<Vec<App>, DbError> {
    sql(select!(
        "where client_id = $1 and deleted_at is null and (cast($2 as text) is null or id < $2)
         order by id desc limit $3"
    ))
    .text(client)
    .opt_text(before)
    .int(limit)
    .fetch_all(on, read)
    .await
}

/// Marks an app deleted. False when there is no such app, or when a deployment of it is not deleted yet.
pub async fn delete(tx: &mut Tx, now: i64, client: ClientId, id: AppId) -> Result<bool, DbError> {
    let delete = sql("update apps set deleted_at = $1, updated_at = $1
                      where id = $2 and client_id = $3 and deleted_at is null
                        and not exists (select 1 from deployments where app_id = $2
                                        and status not in ('deleted', 'failed', 'rolled_back', 'cancelled', 'superseded'))");
    Ok(delete.int(now).text(id).text(client).execute(tx).await? == 1)
}

/// The rows that [`insert`] and [`update`] may clash with: whether an app of this client has the slug.
pub async fn slug_is_taken(db: &Db, client: ClientId, slug: &Slug) -> Result<bool, DbError> {
    let found = sql("select id from apps where client_id = $1 and slug = $2 and deleted_at is null");
    Ok(found.text(client).text(slug).fetch_optional(db, |r| r.text("id")).await?.is_some())
}

fn read(r: &Row) -> Result<App, DbError> {
    let current =
        match (r.opt_parse("current_build_id")?, r.opt_text("current_image_tag")?, r.opt_text("current_image_digest")?)
        {
            (Some(build), Some(tag), Some(digest)) => Some(CurrentImage { build, tag, digest }),
            _ => None,
        };
    Ok(App {
        id: r.parse("id")?,
        client: r.parse("client_id")?,
        settings: read_settings(r)?,
        current,
        created_at: r.int("created_at")?,
        updated_at: r.int("updated_at")?,
    })
}

fn read_settings(r: &Row) -> Result<AppSettings, DbError> {
    let mode = r.text("dockerfile_mode")?;
    let port = r.opt_int("port")?;
    Ok(AppSettings {
        slug: r.parse("slug")?,
        git_url: read_git_url(r)?,
        git_branch: r.parse("git_branch")?,
        base_directory: r.parse("base_directory")?,
        dockerfile_path: r.opt_parse("dockerfile_path")?,
        dockerfile_mode: match mode.as_str() {
            "auto" => DockerfileMode::Auto,
            "generate" => DockerfileMode::Generate,
            _ => return Err(DbError::Corrupt { column: "dockerfile_mode", value: mode }),
        },
        submodules: r.int("submodules")? != 0,
        port: port
            .map(u16::try_from)
            .transpose()
            .map_err(|_| DbError::Corrupt { column: "port", value: format!("{port:?}") })?,
        health_path: r.opt_parse("health_path")?,
        deploy_key: r.opt_parse("deploy_key_id")?,
    })
}

/// The policy was applied when the URL came in, and is applied again by whoever fetches from it.
fn read_git_url(r: &Row) -> Result<GitUrl, DbError> {
    let value = r.text("git_url")?;
    GitUrl::parse(&value, GitUrlPolicy::Development).map_err(|_| DbError::Corrupt { column: "git_url", value })
}
