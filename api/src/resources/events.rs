//! Events of a client's things, and their deliveries to its webhook endpoints.
//!
//! Absent: what makes events (`store::events::emit` is asked where something happens).

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
    types::Any,
};
use serde_json::Value;
use shared::{
    domain::{DeliveryId, EventId, EventType, WebhookEndpointId},
    store::{
        deliveries::{self, Delivery, DeliveryStatus},
        events::{self, Event, Which},
        webhook_endpoints::{self, EndpointStatus},
    },
};

use crate::{
    app::Here,
    auth::{Admin, Reader},
    idempotency::{Accepted, Begun, Idempotency, begin},
    openapi::Tag,
    page::{Limit, Page},
    problem::Problem,
    quotas::{self, Counted},
    typed::{Moment, Typed},
    words::Word,
};

pub struct Events;

/// Something that happened. It is kept for 30 days.
#[derive(Object)]
#[oai(rename = "Event")]
pub struct EventView {
    /// The `webhook-id` of its messages.
    id: Typed<EventId>,
    /// Such as `disk.high`; new types may come.
    #[oai(rename = "type")]
    kind: String,
    /// The ids of what it is about, and what is known. Each type of event has its own fields.
    data: Any<Value>,
    created_at: Moment,
}

/// An event on its way to a webhook endpoint.
#[derive(Object)]
#[oai(rename = "EventDelivery")]
struct DeliveryView {
    id: Typed<DeliveryId>,
    event_id: Typed<EventId>,
    webhook_endpoint_id: Typed<WebhookEndpointId>,
    status: Word<DeliveryStatus>,
    /// How often it was tried since it was first sent, or last replayed.
    attempts: i64,
    /// The HTTP status of the last answer.
    #[oai(skip_serializing_if_is_none)]
    response_status: Option<i64>,
    /// Why the last attempt did not succeed.
    #[oai(skip_serializing_if_is_none)]
    error: Option<String>,
    /// Not before then is it sent, while it is pending.
    #[oai(skip_serializing_if_is_none)]
    next_attempt_at: Option<Moment>,
    created_at: Moment,
    updated_at: Moment,
}

pub fn view(event: Event) -> EventView {
    EventView { id: Typed(event.id), kind: event.kind, data: Any(event.data), created_at: Moment(event.created_at) }
}

fn delivery_view(delivery: Delivery) -> DeliveryView {
    DeliveryView {
        id: Typed(delivery.id),
        event_id: Typed(delivery.event),
        webhook_endpoint_id: Typed(delivery.endpoint),
        status: Word(delivery.status),
        attempts: delivery.attempts,
        response_status: delivery.response_status,
        error: delivery.error,
        next_attempt_at: delivery.next_at.map(Moment),
        created_at: Moment(delivery.created_at),
        updated_at: Moment(delivery.updated_at),
    }
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Webhooks")]
impl Events {
    /// List events
    ///
    /// Needs scope `read`.
    #[oai(path = "/events", method = "get", operation_id = "list_events")]
    async fn list(
        &self,
        caller: Reader,
        app: Here,
        #[oai(name = "type")] kind: Query<Option<Word<EventType>>>,
        cursor: Query<Option<Typed<EventId>>>,
        limit: Query<Limit>,
    ) -> Result<Json<Page<EventView>>, Problem> {
        let (kind, before) = (kind.0.map(|kind| kind.0), cursor.0.map(|c| c.0));
        let rows = events::list(&app.db, caller.client, Which { kind, before, limit: limit.rows() }).await?;
        Ok(Json(limit.page(rows, |event| event.id.to_string(), view)))
    }

    /// Show an event
    ///
    /// Needs scope `read`.
    #[oai(path = "/events/:event_id", method = "get", operation_id = "get_event")]
    async fn get(&self, caller: Reader, app: Here, event_id: Path<Typed<EventId>>) -> Result<Json<EventView>, Problem> {
        let found = events::get(&app.db, caller.client, event_id.0.0).await?;
        Ok(Json(view(found.ok_or_else(|| Problem::not_found("event"))?)))
    }

    /// List an event's deliveries
    ///
    /// One for each endpoint that wanted it when it happened. Needs scope `read`.
    #[oai(path = "/events/:event_id/deliveries", method = "get", operation_id = "list_event_deliveries")]
    async fn deliveries(
        &self,
        caller: Reader,
        app: Here,
        event_id: Path<Typed<EventId>>,
        cursor: Query<Option<Typed<DeliveryId>>>,
        limit: Query<Limit>,
    ) -> Result<Json<Page<DeliveryView>>, Problem> {
        let (client, id) = (caller.client, event_id.0.0);
        events::get(&app.db, client, id).await?.ok_or_else(|| Problem::not_found("event"))?;
        let rows = deliveries::list(&app.db, client, id, cursor.0.map(|c| c.0), limit.rows()).await?;
        Ok(Json(limit.page(rows, |delivery| delivery.id.to_string(), delivery_view)))
    }

    /// Send an event again
    ///
    /// A delivery that has ended, well or not, begins again, with the same `webhook-id`. Needs scope `admin`.
    #[oai(path = "/event-deliveries/:delivery_id/replay", method = "post", operation_id = "replay_event_delivery")]
    async fn replay(
        &self,
        caller: Admin,
        app: Here,
        delivery_id: Path<Typed<DeliveryId>>,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
    ) -> Result<Accepted<DeliveryView>, Problem> {
        let (client, id) = (caller.client, delivery_id.0.0);
        let mut once = match begin(&app, client, once).await? {
            Begun::Replay(answer) => return Ok(answer),
            Begun::New(once) => once,
        };
        let missing = || Problem::not_found("delivery");
        let found = deliveries::get(&mut once.tx, client, id).await?.ok_or_else(missing)?;
        let endpoint = webhook_endpoints::get(&mut once.tx, client, found.endpoint).await?;
        if endpoint.is_none_or(|endpoint| endpoint.status == EndpointStatus::Disabled) {
            return Err(Problem::conflict("endpoint_disabled", "The endpoint is disabled or deleted."));
        }
        if !deliveries::send_again(&mut once.tx, &app.db, client, id).await? {
            return Err(Problem::conflict("delivery_pending", "The delivery has not ended yet."));
        }
        quotas::check(&app, &mut once.tx, client, Counted::Deliveries).await?;
        let delivery = deliveries::get(&mut once.tx, client, id).await?.ok_or_else(missing)?;
        once.finish(&app, format!("/v1/events/{}/deliveries", delivery.event), delivery_view(delivery)).await
    }
}
