//! API keys of a client.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use shared::{
    domain::ApiKeyId,
    secrets::{random_token, token_hash},
    store::api_keys::{self, ApiKey},
};

use super::{Gone, names::display_name};
use crate::{
    app::{App, Here},
    auth::{Actor, Admin, Caller, KEY_PREFIX, Scope, Scopes},
    idempotency::{Begun, Created, Idempotency, begin},
    openapi::Tag,
    page::{Limit, Page},
    problem::Problem,
    quotas::{self, Counted},
    typed::{Typed, timestamp},
};

const DEFAULT_DAYS: u16 = 90;
const DAY_MS: i64 = 24 * 3600 * 1000;

pub struct ApiKeys;

#[derive(Object)]
#[oai(deny_unknown_fields)]
struct NewApiKey {
    name: String,
    #[oai(validator(min_items = 1, max_items = 4))]
    scopes: Vec<Scope>,
    /// Days until the key ends; 90 when absent. A key makes only keys that end no later than itself.
    #[oai(validator(minimum(value = "1"), maximum(value = "3650")))]
    expires_in_days: Option<u16>,
}

/// An API key, without its secret.
#[derive(Object)]
#[oai(rename = "ApiKey")]
pub struct ApiKeyView {
    id: String,
    name: String,
    scopes: Vec<Scope>,
    created_at: String,
    #[oai(skip_serializing_if_is_none)]
    expires_at: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    last_used_at: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    revoked_at: Option<String>,
}

/// A new API key. The secret is shown only here.
#[derive(Object)]
struct MadeApiKey {
    api_key: ApiKeyView,
    /// The bearer of requests. Keep it; it cannot be shown again.
    secret: String,
}

fn view(key: ApiKey) -> ApiKeyView {
    ApiKeyView {
        id: key.id.to_string(),
        name: key.name,
        scopes: Scopes::parse(&key.scopes).list(),
        created_at: timestamp(key.created_at),
        expires_at: key.expires_at.map(timestamp),
        last_used_at: key.last_used_at.map(timestamp),
        revoked_at: key.revoked_at.map(timestamp),
    }
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::ApiKeys")]
impl ApiKeys {
    /// Make an API key
    ///
    /// Needs scope `admin`.
    #[oai(path = "/api-keys", method = "post", operation_id = "create_api_key")]
    async fn create(
        &self,
        caller: Admin,
        app: Here,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
        body: Json<NewApiKey>,
    ) -> Result<Created<MadeApiKey>, Problem> {
        let name = display_name(&body.name)?;
        let expires_at = end_of(&app, &caller, body.expires_in_days)?;
        let mut once = match begin(&app, caller.client, once).await? {
            Begun::Replay(answer) => return Ok(answer),
            Begun::New(once) => once,
        };
        let (id, now) = (ApiKeyId::new(), app.db.now_ms());
        // The random end of the id names the key in logs and lists without telling anything about its secret.
        let secret = format!("{KEY_PREFIX}{}_{}", &id.0.simple().to_string()[24..], random_token());
        let key = ApiKey {
            id,
            client: caller.client,
            name,
            key_hash: token_hash(&secret),
            scopes: Scopes::of(body.scopes.clone()).to_text(),
            created_at: now,
            expires_at: Some(expires_at),
            last_used_at: None,
            revoked_at: None,
        };
        api_keys::insert(&mut once.tx, &key).await?;
        quotas::check(&app, &mut once.tx, caller.client, Counted::ApiKeys).await?;
        once.finish(&app, None, MadeApiKey { api_key: view(key), secret }).await
    }

    /// List API keys
    ///
    /// Needs scope `admin`.
    #[oai(path = "/api-keys", method = "get", operation_id = "list_api_keys")]
    async fn list(
        &self,
        caller: Admin,
        app: Here,
        cursor: Query<Option<Typed<ApiKeyId>>>,
        limit: Query<Limit>,
    ) -> Result<Json<Page<ApiKeyView>>, Problem> {
        let rows = api_keys::list(&app.db, caller.client, cursor.0.map(|c| c.0), limit.rows()).await?;
        Ok(Json(limit.page(rows, |key| key.id.to_string(), view)))
    }

    /// Revoke an API key
    ///
    /// Needs scope `admin`.
    #[oai(path = "/api-keys/:api_key_id", method = "delete", operation_id = "revoke_api_key")]
    async fn revoke(&self, caller: Admin, app: Here, api_key_id: Path<Typed<ApiKeyId>>) -> Result<Gone, Problem> {
        let mut tx = app.db.begin().await?;
        let revoked = api_keys::revoke(&mut tx, app.db.now_ms(), caller.client, api_key_id.0.0).await?;
        tx.commit().await?;
        if revoked { Ok(Gone::Gone) } else { Err(Problem::not_found("API key")) }
    }
}

/// When a new key ends. Otherwise a key that ends tomorrow would make itself one that does not.
fn end_of(app: &App, caller: &Caller, days: Option<u16>) -> Result<i64, Problem> {
    let latest = match caller.actor {
        Actor::Key { expires_at, .. } => expires_at.unwrap_or(i64::MAX),
        Actor::User { .. } => i64::MAX,
    };
    let end = app.db.now_ms() + i64::from(days.unwrap_or(DEFAULT_DAYS)) * DAY_MS;
    match days {
        Some(_) if end > latest => {
            Err(Problem::invalid("expires_too_late", "A key makes only keys that end no later than itself."))
        }
        _ => Ok(end.min(latest)),
    }
}
