//! Webhook endpoints: where a client wants to hear of events.
//!
//! Invariant: a secret is made here and shown once, in the answer to the request that made it. Absent: what is sent, and
//! when (`webhooks`).

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use shared::{
    domain::{ClientId, EventType, WebhookEndpointId, WebhookUrl},
    secrets::Place,
    store::{
        events::{self, NewEvent},
        webhook_endpoints::{self as endpoints, Endpoint, EndpointStatus, Wanted},
    },
};

use super::{
    Gone,
    events::{EventView, view as event_view},
};
use crate::{
    app::{App, Here},
    auth::{Admin, Reader},
    idempotency::{Accepted, Begun, Created, Idempotency, begin},
    openapi::Tag,
    page::{Limit, Page},
    patch::Change,
    problem::Problem,
    quotas::{self, Counted},
    typed::{Moment, Typed},
    webhooks::new_secret,
    words::Word,
};

/// How long the old secret is used beside a new one.
const BOTH_MS: i64 = 24 * 3600 * 1000;
const MAX_DESCRIPTION: usize = 200;

pub struct WebhookEndpoints;

#[derive(Object)]
#[oai(deny_unknown_fields)]
struct NewWebhookEndpoint {
    /// `https://` and a public host.
    url: String,
    description: Option<String>,
    /// What is sent there; all when absent or empty.
    #[oai(validator(max_items = 50))]
    event_types: Option<Vec<Word<EventType>>>,
}

/// What is absent stays.
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct WebhookEndpointChanges {
    url: Change<String>,
    description: Change<String>,
    event_types: Change<Vec<Word<EventType>>>,
    status: Change<Word<EndpointStatus>>,
}

/// A webhook endpoint, without its secret.
#[derive(Object)]
#[oai(rename = "WebhookEndpoint")]
struct WebhookEndpointView {
    id: Typed<WebhookEndpointId>,
    url: String,
    description: String,
    /// What is sent there; all when empty.
    event_types: Vec<Word<EventType>>,
    status: Word<EndpointStatus>,
    /// Until then messages carry a second signature, with the secret before this one.
    #[oai(skip_serializing_if_is_none)]
    old_secret_expires_at: Option<Moment>,
    created_at: Moment,
    updated_at: Moment,
}

/// A webhook endpoint with a new secret. The secret is shown only here.
#[derive(Object)]
struct MadeWebhookEndpoint {
    webhook_endpoint: WebhookEndpointView,
    /// Checks the signatures of messages. Keep it; it cannot be shown again.
    secret: String,
}

fn view(endpoint: Endpoint) -> WebhookEndpointView {
    WebhookEndpointView {
        id: Typed(endpoint.id),
        url: endpoint.url,
        description: endpoint.description,
        event_types: endpoint.wanted.list().into_iter().map(Word).collect(),
        status: Word(endpoint.status),
        old_secret_expires_at: endpoint.old_secret.map(|old| Moment(old.until)),
        created_at: Moment(endpoint.created_at),
        updated_at: Moment(endpoint.updated_at),
    }
}

fn made(endpoint: Endpoint, secret: &SecretString) -> MadeWebhookEndpoint {
    MadeWebhookEndpoint { webhook_endpoint: view(endpoint), secret: secret.expose_secret().to_owned() }
}

fn missing() -> Problem {
    Problem::not_found("webhook endpoint")
}

fn checked_url(app: &App, text: &str) -> Result<String, Problem> {
    let url = WebhookUrl::parse(text, app.config.webhook_policy());
    Ok(url.map_err(|e| Problem::invalid("invalid_webhook_url", format!("{e}.")))?.as_str().to_owned())
}

fn description(text: &str) -> Result<String, Problem> {
    let text = text.trim();
    if text.chars().count() > MAX_DESCRIPTION || text.chars().any(char::is_control) {
        return Err(Problem::invalid("invalid_body", "A description has at most 200 characters on one line."));
    }
    Ok(text.to_owned())
}

fn wanted(types: &[Word<EventType>]) -> Wanted {
    Wanted::of(&types.iter().map(|kind| kind.0).collect::<Vec<_>>())
}

fn sealed(app: &App, client: ClientId, id: WebhookEndpointId, secret: &SecretString) -> Result<String, Problem> {
    let row = id.to_string();
    let place = Place { client, field: endpoints::FIELD, row: &row };
    Ok(app.config.master_key.seal(place, secret.expose_secret().as_bytes())?)
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Webhooks")]
impl WebhookEndpoints {
    /// Add a webhook endpoint
    ///
    /// Events are sent there in the form of Standard Webhooks, signed with the secret that this answer shows.
    /// Needs scope `admin`.
    #[oai(path = "/webhook-endpoints", method = "post", operation_id = "create_webhook_endpoint")]
    async fn create(
        &self,
        caller: Admin,
        app: Here,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
        body: Json<NewWebhookEndpoint>,
    ) -> Result<Created<MadeWebhookEndpoint>, Problem> {
        let (id, client, now, secret) = (WebhookEndpointId::new(), caller.client, app.db.now_ms(), new_secret());
        let endpoint = Endpoint {
            id,
            client,
            url: checked_url(&app, &body.url)?,
            description: description(body.description.as_deref().unwrap_or_default())?,
            wanted: wanted(body.event_types.as_deref().unwrap_or_default()),
            secret_sealed: sealed(&app, client, id, &secret)?,
            old_secret: None,
            status: EndpointStatus::Enabled,
            created_at: now,
            updated_at: now,
        };
        let mut once = match begin(&app, client, once).await? {
            Begun::Replay(answer) => return Ok(answer),
            Begun::New(once) => once,
        };
        endpoints::insert(&mut once.tx, &endpoint).await?;
        quotas::check(&app, &mut once.tx, client, Counted::WebhookEndpoints).await?;
        once.finish(&app, format!("/v1/webhook-endpoints/{id}"), made(endpoint, &secret)).await
    }

    /// List webhook endpoints
    ///
    /// Needs scope `read`.
    #[oai(path = "/webhook-endpoints", method = "get", operation_id = "list_webhook_endpoints")]
    async fn list(
        &self,
        caller: Reader,
        app: Here,
        cursor: Query<Option<Typed<WebhookEndpointId>>>,
        limit: Query<Limit>,
    ) -> Result<Json<Page<WebhookEndpointView>>, Problem> {
        let rows = endpoints::list(&app.db, caller.client, cursor.0.map(|c| c.0), limit.rows()).await?;
        Ok(Json(limit.page(rows, |endpoint| endpoint.id.to_string(), view)))
    }

    /// Show a webhook endpoint
    ///
    /// Needs scope `read`.
    #[oai(path = "/webhook-endpoints/:webhook_endpoint_id", method = "get", operation_id = "get_webhook_endpoint")]
    async fn get(
        &self,
        caller: Reader,
        app: Here,
        webhook_endpoint_id: Path<Typed<WebhookEndpointId>>,
    ) -> Result<Json<WebhookEndpointView>, Problem> {
        let found = endpoints::get(&app.db, caller.client, webhook_endpoint_id.0.0).await?;
        Ok(Json(view(found.ok_or_else(missing)?)))
    }

    /// Change a webhook endpoint
    ///
    /// Events that are on their way go to the new URL. Those of an endpoint that is disabled fail at once.
    /// Needs scope `admin`.
    #[oai(path = "/webhook-endpoints/:webhook_endpoint_id", method = "patch", operation_id = "update_webhook_endpoint")]
    async fn update(
        &self,
        caller: Admin,
        app: Here,
        webhook_endpoint_id: Path<Typed<WebhookEndpointId>>,
        body: Json<WebhookEndpointChanges>,
    ) -> Result<Json<WebhookEndpointView>, Problem> {
        let (id, changes) = (webhook_endpoint_id.0.0, body.0);
        let mut tx = app.db.begin().await?;
        if !endpoints::lock(&mut tx, caller.client, id).await? {
            return Err(missing());
        }
        let old = endpoints::get(&mut tx, caller.client, id).await?.ok_or_else(missing)?;
        let new = Endpoint {
            url: changes.url.given().map_or(Ok(old.url), |url| checked_url(&app, &url))?,
            description: changes.description.given().map_or(Ok(old.description), |text| description(&text))?,
            wanted: changes.event_types.given().map_or(old.wanted, |types| wanted(&types)),
            status: changes.status.or(Word(old.status)).0,
            updated_at: app.db.now_ms(),
            ..old
        };
        endpoints::update(&mut tx, &app.db, &new).await?;
        tx.commit().await?;
        Ok(Json(view(new)))
    }

    /// Delete a webhook endpoint
    ///
    /// Events that are on their way to it fail at once. Needs scope `admin`.
    #[oai(
        path = "/webhook-endpoints/:webhook_endpoint_id",
        method = "delete",
        operation_id = "delete_webhook_endpoint"
    )]
    async fn delete(
        &self,
        caller: Admin,
        app: Here,
        webhook_endpoint_id: Path<Typed<WebhookEndpointId>>,
    ) -> Result<Gone, Problem> {
        let mut tx = app.db.begin().await?;
        let deleted = endpoints::delete(&mut tx, &app.db, caller.client, webhook_endpoint_id.0.0).await?;
        tx.commit().await?;
        if deleted { Ok(Gone::Gone) } else { Err(missing()) }
    }

    /// Give a webhook endpoint a new secret
    ///
    /// For 24 hours messages carry a signature with each of the two secrets, so that the receiver can change over.
    /// Needs scope `admin`.
    #[oai(
        path = "/webhook-endpoints/:webhook_endpoint_id/rotate-secret",
        method = "post",
        operation_id = "rotate_webhook_secret"
    )]
    async fn rotate(
        &self,
        caller: Admin,
        app: Here,
        webhook_endpoint_id: Path<Typed<WebhookEndpointId>>,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
    ) -> Result<Created<MadeWebhookEndpoint>, Problem> {
        let (id, client, secret) = (webhook_endpoint_id.0.0, caller.client, new_secret());
        let sealed = sealed(&app, client, id, &secret)?;
        let mut once = match begin(&app, client, once).await? {
            Begun::Replay(answer) => return Ok(answer),
            Begun::New(once) => once,
        };
        let until = app.db.now_ms() + BOTH_MS;
        if !endpoints::rotate(&mut once.tx, &app.db, (client, id), &sealed, until).await? {
            return Err(missing());
        }
        let endpoint = endpoints::get(&mut once.tx, client, id).await?.ok_or_else(missing)?;
        once.finish(&app, format!("/v1/webhook-endpoints/{id}"), made(endpoint, &secret)).await
    }

    /// Send a test event
    ///
    /// An event `webhook.test` goes to this endpoint alone, whatever types it wants. Its deliveries show what came of it.
    /// Needs scope `admin`.
    #[oai(
        path = "/webhook-endpoints/:webhook_endpoint_id/test",
        method = "post",
        operation_id = "test_webhook_endpoint"
    )]
    async fn test(
        &self,
        caller: Admin,
        app: Here,
        webhook_endpoint_id: Path<Typed<WebhookEndpointId>>,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
    ) -> Result<Accepted<EventView>, Problem> {
        let (id, client) = (webhook_endpoint_id.0.0, caller.client);
        let mut once = match begin(&app, client, once).await? {
            Begun::Replay(answer) => return Ok(answer),
            Begun::New(once) => once,
        };
        let endpoint = endpoints::get(&mut once.tx, client, id).await?.ok_or_else(missing)?;
        if endpoint.status == EndpointStatus::Disabled {
            return Err(Problem::conflict("endpoint_disabled", "Enable the endpoint first."));
        }
        let data = &json!({"webhook_endpoint_id": id});
        let test = NewEvent { client, kind: EventType::WebhookTest, data, once: None };
        let event = events::emit_to(&mut once.tx, &app.db, test, id).await?;
        quotas::check(&app, &mut once.tx, client, Counted::Deliveries).await?;
        let event = events::get(&mut once.tx, client, event).await?.ok_or_else(Problem::internal)?;
        once.finish(&app, format!("/v1/events/{}", event.id), event_view(event)).await
    }
}
