//! The environment variables of an app.
//!
//! Invariant: a secret's value is stored sealed for its [`place`] and leaves this module sealed. Absent: who may see
//! what; [`open`] is for the workers and for the freezing of a deployment's environment.

use secrecy::SecretString;

use super::{DbError, On, Row, Tx, sql};
use crate::{
    domain::{AppId, ClientId, EnvName},
    secrets::{MasterKey, Place, Sealed},
};

/// Where a variable is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvScope {
    /// While the image is built, as a build secret.
    Build,
    /// In the container.
    Run,
    Both,
}

impl EnvScope {
    pub const ALL: &'static [Self] = &[Self::Build, Self::Run, Self::Both];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Run => "run",
            Self::Both => "both",
        }
    }

    pub fn at_build(self) -> bool {
        self != Self::Run
    }

    pub fn at_run(self) -> bool {
        self != Self::Build
    }
}

/// A stored variable.
#[derive(Clone, Debug)]
pub struct EnvVar {
    pub client: ClientId,
    pub app: AppId,
    pub name: EnvName,
    pub scope: EnvScope,
    pub secret: bool,
    /// The text itself, or sealed when `secret`.
    pub stored: String,
    pub updated_at: i64,
}

/// The row part of the [`Place`] that a secret value is sealed for.
pub fn place_row(app: AppId, name: &EnvName) -> String {
    format!("{app}/{name}")
}

/// The field part of that place.
pub const FIELD: &str = "app_env.value";

impl EnvVar {
    /// The value in clear.
    pub fn open(&self, key: &MasterKey) -> Result<SecretString, Sealed> {
        if !self.secret {
            return Ok(self.stored.clone().into());
        }
        let row = place_row(self.app, &self.name);
        key.open_text(Place { client: self.client, field: FIELD, row: &row }, &self.stored)
    }
}

/// Sets a variable, new or known.
pub async fn put(tx: &mut Tx, var: &EnvVar) -> Result<(), DbError> {
    sql("insert into app_env (app_id, name, client_id, scope, secret, value, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (app_id, name) do update set scope = excluded.scope, secret = excluded.secret,
           value = excluded.value, updated_at = excluded.updated_at
         where app_env.client_id = excluded.client_id")
    .text(var.app)
    .text(&var.name)
    .text(var.client)
    .text(var.scope.as_str())
    .int(var.secret.into())
    .text(&var.stored)
    .int(var.updated_at)
    .execute(tx)
    .await
    .map(|_| ())
}

/// An app's variables, by name.
pub async fn list(on: impl Into<On<'_>>, client: ClientId, app: AppId) -> Result<Vec<EnvVar>, DbError> {
    sql("select app_id, name, client_id, scope, secret, value, updated_at from app_env
         where app_id = $1 and client_id = $2 order by name")
    .text(app)
    .text(client)
    .fetch_all(on, read)
    .await
}

/// How much an app's variables take, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub variables: i64,
    pub bytes: i64,
}

/// Counts without reading a value.
pub async fn size(on: impl Into<On<'_>>, client: ClientId, app: AppId) -> Result<Size, DbError> {
    sql("select count(*) as variables, cast(coalesce(sum(octet_length(value)), 0) as bigint) as bytes from app_env
         where app_id = $1 and client_id = $2")
    .text(app)
    .text(client)
    .fetch_one(on, |r| Ok(Size { variables: r.int("variables")?, bytes: r.int("bytes")? }))
    .await
}

pub async fn delete(tx: &mut Tx, client: ClientId, app: AppId, name: &EnvName) -> Result<bool, DbError> {
    let delete = sql("delete from app_env where app_id = $1 and client_id = $2 and name = $3");
    Ok(delete.text(app).text(client).text(name).execute(tx).await? == 1)
}

/// Forgets everything of an app.
pub async fn delete_all(tx: &mut Tx, client: ClientId, app: AppId) -> Result<u64, DbError> {
    sql("delete from app_env where app_id = $1 and client_id = $2").text(app).text(client).execute(tx).await
}

fn read(r: &Row) -> Result<EnvVar, DbError> {
    let scope = r.text("scope")?;
    Ok(EnvVar {
        client: r.parse("client_id")?,
        app: r.parse("app_id")?,
        name: r.parse("name")?,
        scope: match scope.as_str() {
            "build" => EnvScope::Build,
            "run" => EnvScope::Run,
            "both" => EnvScope::Both,
            _ => return Err(DbError::Corrupt { column: "scope", value: scope }),
        },
        secret: r.int("secret")? != 0,
        stored: r.text("value")?,
        updated_at: r.int("updated_at")?,
    })
}
