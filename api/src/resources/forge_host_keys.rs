//! SSH host keys of a client's own forges. Those of the well-known forges are known already.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use shared::{
    domain::HostAddress,
    store::forge_host_keys::{self, ForgeHostKey},
};
use uuid::Uuid;

use super::{Gone, names::public_key};
use crate::{
    app::Here,
    auth::{Admin, Reader},
    idempotency::{Begun, Created, Idempotency, begin},
    openapi::Tag,
    page::{Limit, Page},
    problem::Problem,
    typed::{Moment, Typed},
};

pub struct ForgeHostKeys;

#[derive(Object)]
#[oai(deny_unknown_fields)]
struct NewForgeHostKey {
    host: Typed<HostAddress>,
    /// 22 when absent.
    #[oai(validator(minimum(value = "1")))]
    port: Option<u16>,
    /// Type and base64, as in the forge's `ssh_host_…_key.pub`.
    public_key: String,
}

/// A host key that is trusted.
#[derive(Object)]
#[oai(rename = "ForgeHostKey")]
struct ForgeHostKeyView {
    id: Uuid,
    host: String,
    port: i64,
    public_key: String,
    created_at: Moment,
}

fn view(key: ForgeHostKey) -> ForgeHostKeyView {
    ForgeHostKeyView {
        id: key.id,
        host: key.host.to_string(),
        port: key.port,
        public_key: key.public_key,
        created_at: Moment(key.created_at),
    }
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Sources")]
impl ForgeHostKeys {
    /// Trust a forge's host key
    ///
    /// Needs scope `admin`.
    #[oai(path = "/forge-host-keys", method = "post", operation_id = "create_forge_host_key")]
    async fn create(
        &self,
        caller: Admin,
        app: Here,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
        body: Json<NewForgeHostKey>,
    ) -> Result<Created<ForgeHostKeyView>, Problem> {
        let key = ForgeHostKey {
            id: Uuid::now_v7(),
            client: caller.client,
            host: body.host.0.clone(),
            port: body.port.unwrap_or(22).into(),
            public_key: public_key(&body.public_key)?,
            created_at: app.db.now_ms(),
        };
        let mut once = match begin(&app, caller.client, once).await? {
            Begun::Replay(answer) => return Ok(answer),
            Begun::New(once) => once,
        };
        forge_host_keys::insert(&mut once.tx, &key).await.map_err(|e| match e.is_unique_violation() {
            true => Problem::conflict("host_key_known", "This key is trusted already."),
            false => e.into(),
        })?;
        once.finish(&app, format!("/v1/forge-host-keys/{}", key.id), view(key)).await
    }

    /// List trusted host keys
    ///
    /// Needs scope `read`.
    #[oai(path = "/forge-host-keys", method = "get", operation_id = "list_forge_host_keys")]
    async fn list(
        &self,
        caller: Reader,
        app: Here,
        cursor: Query<Option<Uuid>>,
        limit: Query<Limit>,
    ) -> Result<Json<Page<ForgeHostKeyView>>, Problem> {
        let rows = forge_host_keys::list(&app.db, caller.client, cursor.0, limit.rows()).await?;
        Ok(Json(limit.page(rows, |key| key.id.to_string(), view)))
    }

    /// Show a trusted host key
    ///
    /// Needs scope `read`.
    #[oai(path = "/forge-host-keys/:forge_host_key_id", method = "get", operation_id = "get_forge_host_key")]
    async fn get(
        &self,
        caller: Reader,
        app: Here,
        forge_host_key_id: Path<Uuid>,
    ) -> Result<Json<ForgeHostKeyView>, Problem> {
        let found = forge_host_keys::get(&app.db, caller.client, forge_host_key_id.0).await?;
        Ok(Json(view(found.ok_or_else(|| Problem::not_found("host key"))?)))
    }

    /// Stop trusting a host key
    ///
    /// Needs scope `admin`.
    #[oai(path = "/forge-host-keys/:forge_host_key_id", method = "delete", operation_id = "delete_forge_host_key")]
    async fn delete(&self, caller: Admin, app: Here, forge_host_key_id: Path<Uuid>) -> Result<Gone, Problem> {
        let mut tx = app.db.begin().await?;
        let removed = forge_host_keys::delete(&mut tx, caller.client, forge_host_key_id.0).await?;
        tx.commit().await?;
        if removed { Ok(Gone::Gone) } else { Err(Problem::not_found("host key")) }
    }
}
