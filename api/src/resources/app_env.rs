//! The environment variables of an app.
//!
//! Invariant: the value of a secret is never shown again.

use poem_openapi::{Object, OpenApi, param::Path, payload::Json};
use shared::{
    domain::{AppId, EnvName, Malformed},
    secrets::Place,
    store::{
        app_env::{self, EnvScope, EnvVar},
        apps,
    },
};

use super::Gone;
use crate::{
    app::Here,
    auth::{Admin, Reader},
    openapi::Tag,
    page::Page,
    problem::Problem,
    typed::{Moment, Typed},
    words::Word,
};

const MAX_VALUE: usize = 64 * 1024;
const MAX_VARIABLES: i64 = 500;
/// All of an app's values together, as stored: sealed ones are a third longer. They are copied into each deployment.
const MAX_TOTAL: i64 = 256 * 1024;

pub struct AppEnv;

#[derive(Object)]
#[oai(deny_unknown_fields)]
struct EnvValue {
    value: String,
    /// `run` when absent.
    scope: Option<Word<EnvScope>>,
    /// A secret is stored sealed and never shown again. True when absent.
    secret: Option<bool>,
}

/// A variable. The value of a secret is absent.
#[derive(Object)]
#[oai(rename = "Env")]
struct EnvView {
    name: String,
    scope: Word<EnvScope>,
    secret: bool,
    #[oai(skip_serializing_if_is_none)]
    value: Option<String>,
    updated_at: Moment,
}

fn view(var: EnvVar) -> EnvView {
    EnvView {
        name: var.name.to_string(),
        scope: Word(var.scope),
        secret: var.secret,
        value: (!var.secret).then_some(var.stored),
        updated_at: Moment(var.updated_at),
    }
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Apps")]
impl AppEnv {
    /// List an app's variables
    ///
    /// Needs scope `read`.
    #[oai(path = "/apps/:app_id/env", method = "get", operation_id = "list_env")]
    async fn list(
        &self,
        caller: Reader,
        app: Here,
        app_id: Path<Typed<AppId>>,
    ) -> Result<Json<Page<EnvView>>, Problem> {
        let id = app_id.0.0;
        apps::get(&app.db, caller.client, id).await?.ok_or_else(|| Problem::not_found("app"))?;
        let vars = app_env::list(&app.db, caller.client, id).await?;
        Ok(Json(Page::whole(vars.into_iter().map(view).collect())))
    }

    /// Set a variable
    ///
    /// The next build or deployment uses it. A value has at most 64 KiB; an app has at most 500 variables, which take at
    /// most 256 KiB together. Needs scope `admin`.
    #[oai(path = "/apps/:app_id/env/:name", method = "put", operation_id = "set_env")]
    async fn set(
        &self,
        caller: Admin,
        app: Here,
        app_id: Path<Typed<AppId>>,
        name: Path<String>,
        body: Json<EnvValue>,
    ) -> Result<Json<EnvView>, Problem> {
        // Not parsed as part of the path: a name that cannot be is a bad request, not a variable that does not exist.
        let name: EnvName = name.0.parse().map_err(|e: Malformed| Problem::invalid("invalid_name", e.to_string()))?;
        let (id, body) = (app_id.0.0, body.0);
        if body.value.len() > MAX_VALUE || body.value.contains('\0') {
            return Err(Problem::invalid("invalid_body", "A value has at most 64 KiB and no NUL."));
        }
        let secret = body.secret.unwrap_or(true);
        let row = app_env::place_row(id, &name);
        let place = Place { client: caller.client, field: app_env::FIELD, row: &row };
        let stored = if secret { app.config.master_key.seal(place, body.value.as_bytes())? } else { body.value };
        let scope = body.scope.map_or(EnvScope::Run, |scope| scope.0);
        let var = EnvVar { client: caller.client, app: id, name, scope, secret, stored, updated_at: app.db.now_ms() };
        let mut tx = app.db.begin().await?;
        // Locked, so that two requests at the same time do not both find room.
        if !apps::lock(&mut tx, caller.client, id).await? {
            return Err(Problem::not_found("app"));
        }
        app_env::put(&mut tx, &var).await?;
        let size = app_env::size(&mut tx, caller.client, id).await?;
        if size.variables > MAX_VARIABLES {
            return Err(Problem::conflict("too_many_variables", "An app has at most 500 variables."));
        }
        if size.bytes > MAX_TOTAL {
            return Err(Problem::conflict("env_too_large", "An app's variables take at most 256 KiB together."));
        }
        tx.commit().await?;
        Ok(Json(view(var)))
    }

    /// Remove a variable
    ///
    /// Needs scope `admin`.
    #[oai(path = "/apps/:app_id/env/:name", method = "delete", operation_id = "delete_env")]
    async fn delete(
        &self,
        caller: Admin,
        app: Here,
        app_id: Path<Typed<AppId>>,
        name: Path<Typed<EnvName>>,
    ) -> Result<Gone, Problem> {
        let mut tx = app.db.begin().await?;
        let removed = app_env::delete(&mut tx, caller.client, app_id.0.0, &name.0.0).await?;
        tx.commit().await?;
        if removed { Ok(Gone::Gone) } else { Err(Problem::not_found("variable")) }
    }
}
