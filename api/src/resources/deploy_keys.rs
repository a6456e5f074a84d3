//! Deploy keys: made here, their public half given to the forge by the client.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use secrecy::ExposeSecret;
use shared::{
    domain::DeployKeyId,
    secrets::Place,
    ssh::generate_key,
    store::deploy_keys::{self, DeployKey},
};

use super::{Gone, names::display_name};
use crate::{
    app::Here,
    auth::{Admin, Reader},
    idempotency::{Begun, Created, Idempotency, begin},
    openapi::Tag,
    page::{Limit, Page},
    problem::Problem,
    typed::{Moment, Typed},
};

pub struct DeployKeys;

#[derive(Object)]
#[oai(deny_unknown_fields)]
struct NewDeployKey {
    name: String,
}

/// A deploy key. The private half stays here.
#[derive(Object)]
#[oai(rename = "DeployKey")]
struct DeployKeyView {
    id: Typed<DeployKeyId>,
    name: String,
    /// One line for the forge.
    public_key: String,
    created_at: Moment,
}

fn view(key: DeployKey) -> DeployKeyView {
    DeployKeyView { id: Typed(key.id), name: key.name, public_key: key.public_key, created_at: Moment(key.created_at) }
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Sources")]
impl DeployKeys {
    /// Make a deploy key
    ///
    /// Needs scope `admin`.
    #[oai(path = "/deploy-keys", method = "post", operation_id = "create_deploy_key")]
    async fn create(
        &self,
        caller: Admin,
        app: Here,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
        body: Json<NewDeployKey>,
    ) -> Result<Created<DeployKeyView>, Problem> {
        let name = display_name(&body.name)?;
        let mut once = match begin(&app, caller.client, once).await? {
            Begun::Replay(answer) => return Ok(answer),
            Begun::New(once) => once,
        };
        let id = DeployKeyId::new();
        let pair = generate_key(&format!("byop-deploy-{id}")).map_err(|_| Problem::internal())?;
        let row = id.to_string();
        let place = Place { client: caller.client, field: deploy_keys::FIELD, row: &row };
        let key = DeployKey {
            id,
            client: caller.client,
            name,
            public_key: pair.public,
            private_key_sealed: app.config.master_key.seal(place, pair.private.expose_secret().as_bytes())?,
            created_at: app.db.now_ms(),
        };
        deploy_keys::insert(&mut once.tx, &key).await?;
        once.finish(&app, format!("/v1/deploy-keys/{id}"), view(key)).await
    }

    /// List deploy keys
    ///
    /// Needs scope `read`.
    #[oai(path = "/deploy-keys", method = "get", operation_id = "list_deploy_keys")]
    async fn list(
        &self,
        caller: Reader,
        app: Here,
        cursor: Query<Option<Typed<DeployKeyId>>>,
        limit: Query<Limit>,
    ) -> Result<Json<Page<DeployKeyView>>, Problem> {
        let rows = deploy_keys::list(&app.db, caller.client, cursor.0.map(|c| c.0), limit.rows()).await?;
        Ok(Json(limit.page(rows, |key| key.id.to_string(), view)))
    }

    /// Show a deploy key
    ///
    /// Needs scope `read`.
    #[oai(path = "/deploy-keys/:deploy_key_id", method = "get", operation_id = "get_deploy_key")]
    async fn get(
        &self,
        caller: Reader,
        app: Here,
        deploy_key_id: Path<Typed<DeployKeyId>>,
    ) -> Result<Json<DeployKeyView>, Problem> {
        let found = deploy_keys::get(&app.db, caller.client, deploy_key_id.0.0).await?;
        Ok(Json(view(found.ok_or_else(|| Problem::not_found("deploy key"))?)))
    }

    /// Delete a deploy key
    ///
    /// Needs scope `admin`.
    #[oai(path = "/deploy-keys/:deploy_key_id", method = "delete", operation_id = "delete_deploy_key")]
    async fn delete(&self, caller: Admin, app: Here, deploy_key_id: Path<Typed<DeployKeyId>>) -> Result<Gone, Problem> {
        let id = deploy_key_id.0.0;
        let mut tx = app.db.begin().await?;
        if deploy_keys::is_used(&mut tx, caller.client, id).await? {
            return Err(Problem::conflict("deploy_key_in_use", "An app reads its source with this key."));
        }
        if !deploy_keys::delete(&mut tx, caller.client, id).await? {
            return Err(Problem::not_found("deploy key"));
        }
        tx.commit().await?;
        Ok(Gone::Gone)
    }
}
