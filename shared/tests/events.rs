//! What the store says about events and their way to webhook endpoints, on both databases.
#![allow(clippy::unwrap_used)]

use std::{
    sync::{Arc, atomic::AtomicI64},
    time::Duration,
};

use serde_json::json;
use shared::{
    domain::{ClientId, DeliveryId, EventId, EventType as Type, JobId, WebhookEndpointId},
    queue::{JobKind, is_active, purge_finished},
    store::{
        Db, Fence,
        counts::{Counted, count},
        deliveries::{self, DeliveryStatus, Report},
        events::{self, NewEvent, Once, Which},
        scratch::Scratch,
        sql,
        webhook_endpoints::{self as endpoints, Endpoint, EndpointStatus, Wanted},
    },
};

shared::on_both_databases! {
    an_event_goes_to_the_endpoints_that_want_it,
    a_type_that_a_newer_version_wrote_is_read_and_sent,
    what_is_rolled_back_is_not_told,
    the_same_is_told_once_within_its_time,
    of_many_who_tell_the_same_at_once_one_does,
    only_the_attempt_that_runs_writes_what_became_of_it,
    an_ended_delivery_begins_again_with_a_job_of_its_own,
    too_many_for_one_endpoint_are_given_up_oldest_first,
    a_deleted_endpoint_has_no_secret_and_gets_nothing,
    what_waits_for_an_endpoint_fails_when_it_is_disabled,
    what_is_old_is_forgotten_unless_it_is_on_its_way,
}

async fn add_client(db: &Db) -> ClientId {
    let client = ClientId::new();
    let insert = sql("insert into clients (id, name, created_at) values ($1, 'c', 0)");
    insert.text(client).execute(db).await.unwrap();
    client
}

async fn add_endpoint(db: &Db, client: ClientId, types: &[Type]) -> WebhookEndpointId {
    let id = WebhookEndpointId::new();
    let endpoint = Endpoint {
        id,
        client,
        url: "https://hooks.example.com/".into(),
        description: String::new(),
        wanted: Wanted::of(types),
        secret_sealed: "sealed-1".into(),
        old_secret: None,
        status: EndpointStatus::Enabled,
        created_at: 0,
        updated_at: 0,
    };
    let mut tx = db.begin().await.unwrap();
    endpoints::insert(&mut tx, &endpoint).await.unwrap();
    tx.commit().await.unwrap();
    id
}

async fn emit(db: &Db, client: ClientId, kind: Type, once: Option<Once<'_>>) -> Option<EventId> {
    let data = &json!({"server_id": "s"});
    let mut tx = db.begin().await.unwrap();
    let emitted = events::emit(&mut tx, db, NewEvent { client, kind, data, once }).await.unwrap();
    tx.commit().await.unwrap();
    emitted
}

async fn counted(db: &Db, query: &'static str) -> i64 {
    sql(query).fetch_one(db, |r| r.int("n")).await.unwrap()
}

async fn deliveries_of(db: &Db, client: ClientId, event: EventId) -> Vec<deliveries::Delivery> {
    deliveries::list(db, client, event, None, 100).await.unwrap()
}

/// Claims a delivery's job, as a worker would.
async fn claim(db: &Db, id: DeliveryId, attempt: i64) -> Fence {
    let job: JobId = sql("select job_id from event_deliveries where id = $1")
        .text(id)
        .fetch_one(db, |r| r.parse("job_id"))
        .await
        .unwrap();
    sql("update jobs set state = 'running', attempt = $1, lease_owner = 't', lease_until = 0 where id = $2")
        .int(attempt)
        .text(job)
        .execute(db)
        .await
        .unwrap();
    Fence { job, attempt }
}

fn report(status: DeliveryStatus) -> Report {
    let next_at = (status == DeliveryStatus::Pending).then_some(5);
    Report { status, attempts: 1, response_status: Some(200), error: None, next_at }
}

async fn record(db: &Db, fence: Fence, id: DeliveryId, status: DeliveryStatus) -> bool {
    let mut tx = db.begin().await.unwrap();
    let written = deliveries::record(&mut tx, db, fence, id, &report(status)).await.unwrap();
    tx.commit().await.unwrap();
    written
}

async fn an_event_goes_to_the_endpoints_that_want_it(scratch: &Scratch) {
    let db = &scratch.db;
    let (client, other) = (add_client(db).await, add_client(db).await);
    let all = add_endpoint(db, client, &[]).await;
    let one = add_endpoint(db, client, &[Type::DiskHigh]).await;
    let disabled = add_endpoint(db, client, &[]).await;
    add_endpoint(db, client, &[Type::BackupFailed]).await;
    add_endpoint(db, other, &[]).await;
    let mut tx = db.begin().await.unwrap();
    endpoints::disable(&mut tx, db, client, disabled).await.unwrap();
    tx.commit().await.unwrap();

    let event = emit(db, client, Type::DiskHigh, None).await.unwrap();
    let found = deliveries_of(db, client, event).await;
    let mut told: Vec<_> = found.iter().map(|d| d.endpoint).collect();
    told.sort();
    assert_eq!(told, [all, one]);
    assert!(deliveries_of(db, other, event).await.is_empty());
    for delivery in &found {
        assert_eq!((delivery.status, delivery.attempts), (DeliveryStatus::Pending, 0));
        assert!(is_active(db, JobKind::Notify, delivery.id).await.unwrap());
    }
    assert_eq!(events::get(db, other, event).await.unwrap(), None);
    let stored = events::get(db, client, event).await.unwrap().unwrap();
    assert_eq!((stored.kind.as_str(), stored.data), ("disk.high", json!({"server_id": "s"})));
    // What waits for receivers does not take the place of the client's builds.
    assert_eq!(count(db, client, Counted::QueuedJobs, 0).await.unwrap(), 0);
    assert_eq!(count(db, client, Counted::Deliveries, 0).await.unwrap(), 2);

    let nobody = add_client(db).await;
    let untold = emit(db, nobody, Type::DiskHigh, None).await.unwrap();
    assert!(deliveries_of(db, nobody, untold).await.is_empty());
    let only = Which { kind: Some(Type::BackupFailed), before: None, limit: 10 };
    assert!(events::list(db, client, only).await.unwrap().is_empty());
    let list = events::list(db, client, Which { kind: None, ..only }).await.unwrap();
    assert_eq!(list.iter().map(|e| e.id).collect::<Vec<_>>(), [event]);
}

async fn a_type_that_a_newer_version_wrote_is_read_and_sent(scratch: &Scratch) {
    let db = &scratch.db;
    let client = add_client(db).await;
    add_endpoint(db, client, &[]).await;
    let event = emit(db, client, Type::DiskHigh, None).await.unwrap();
    let newer = sql("update events set type = 'a.later_one' where id = $1").text(event);
    newer.execute(db).await.unwrap();
    let all = events::list(db, client, Which { kind: None, before: None, limit: 10 }).await.unwrap();
    assert_eq!(all.iter().map(|e| e.kind.as_str()).collect::<Vec<_>>(), ["a.later_one"]);
    let delivery = deliveries_of(db, client, event).await[0].id;
    let fence = claim(db, delivery, 1).await;
    assert_eq!(deliveries::load(db, fence.job, delivery).await.unwrap().unwrap().kind, "a.later_one");
}

async fn what_is_rolled_back_is_not_told(scratch: &Scratch) {
    let db = &scratch.db;
    let client = add_client(db).await;
    add_endpoint(db, client, &[]).await;
    let once = Some(Once { key: "k", within: Duration::from_secs(60) });
    let mut tx = db.begin().await.unwrap();
    let new = NewEvent { client, kind: Type::DiskHigh, data: &json!({}), once };
    assert!(events::emit(&mut tx, db, new).await.unwrap().is_some());
    drop(tx);
    for table in ["select count(*) as n from events", "select count(*) as n from event_deliveries"] {
        assert_eq!(counted(db, table).await, 0, "{table}");
    }
    assert_eq!(counted(db, "select count(*) as n from jobs").await, 0);
    assert!(emit(db, client, Type::DiskHigh, once).await.is_some(), "the key is free");
}

async fn the_same_is_told_once_within_its_time(scratch: &Scratch) {
    let hands = Arc::new(AtomicI64::new(1_000_000));
    let db = &scratch.db.clone().under(hands.clone());
    let (client, other) = (add_client(db).await, add_client(db).await);
    let once = |key| Some(Once { key, within: Duration::from_secs(60) });
    assert!(emit(db, client, Type::DiskHigh, once("disk.high:1")).await.is_some());
    assert!(emit(db, client, Type::DiskHigh, once("disk.high:1")).await.is_none());
    assert!(emit(db, client, Type::DiskHigh, once("disk.high:2")).await.is_some());
    assert!(emit(db, other, Type::DiskHigh, once("disk.high:1")).await.is_some());
    hands.fetch_add(59_999, std::sync::atomic::Ordering::SeqCst);
    assert!(emit(db, client, Type::DiskHigh, once("disk.high:1")).await.is_none());
    hands.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    assert!(emit(db, client, Type::DiskHigh, once("disk.high:1")).await.is_some());
    assert!(emit(db, client, Type::DiskHigh, once("disk.high:1")).await.is_none());
    assert!(emit(db, client, Type::DiskHigh, None).await.is_some());
}

async fn of_many_who_tell_the_same_at_once_one_does(scratch: &Scratch) {
    let db = &scratch.db;
    let client = add_client(db).await;
    add_endpoint(db, client, &[]).await;
    let once = Some(Once { key: "disk.high:1", within: Duration::from_secs(60) });
    let all = futures::future::join_all((0..10).map(|_| emit(db, client, Type::DiskHigh, once))).await;
    assert_eq!(all.into_iter().flatten().count(), 1);
    assert_eq!(counted(db, "select count(*) as n from event_deliveries").await, 1);
}

async fn only_the_attempt_that_runs_writes_what_became_of_it(scratch: &Scratch) {
    let db = &scratch.db;
    let client = add_client(db).await;
    add_endpoint(db, client, &[]).await;
    let event = emit(db, client, Type::DiskHigh, None).await.unwrap();
    let id = deliveries_of(db, client, event).await[0].id;
    let first = claim(db, id, 1).await;
    assert!(record(db, first, id, DeliveryStatus::Pending).await);
    let second = claim(db, id, 2).await;
    assert!(!record(db, first, id, DeliveryStatus::Failed).await, "a lost attempt");
    let parcel = deliveries::load(db, second.job, id).await.unwrap().unwrap();
    assert_eq!((parcel.attempts, parcel.next_at, parcel.kind.as_str()), (1, 5, "disk.high"));
    assert!(record(db, second, id, DeliveryStatus::Delivered).await);
    assert!(!record(db, second, id, DeliveryStatus::Failed).await, "it has ended");
    assert!(deliveries::load(db, second.job, id).await.unwrap().is_none());
    deliveries::fail_unfenced(db, second.job, id, "x").await.unwrap();
    assert_eq!(deliveries_of(db, client, event).await[0].status, DeliveryStatus::Delivered);
}

async fn an_ended_delivery_begins_again_with_a_job_of_its_own(scratch: &Scratch) {
    let db = &scratch.db;
    let (client, other) = (add_client(db).await, add_client(db).await);
    add_endpoint(db, client, &[]).await;
    let event = emit(db, client, Type::DiskHigh, None).await.unwrap();
    let id = deliveries_of(db, client, event).await[0].id;
    let again = async |client| {
        let mut tx = db.begin().await.unwrap();
        let begun = deliveries::send_again(&mut tx, db, client, id).await.unwrap();
        if begun {
            tx.commit().await.unwrap();
        }
        begun
    };
    assert!(!again(client).await, "it is on its way");
    let fence = claim(db, id, 1).await;
    deliveries::fail_unfenced(db, JobId::new(), id, "another job").await.unwrap();
    deliveries::fail_unfenced(db, fence.job, id, "gave up").await.unwrap();
    let failed = deliveries::get(db, client, id).await.unwrap().unwrap();
    assert_eq!((failed.status, failed.error.as_deref()), (DeliveryStatus::Failed, Some("gave up")));
    assert!(!again(other).await, "another client's");
    assert!(again(client).await);
    assert!(deliveries::load(db, fence.job, id).await.unwrap().is_none(), "the old job has nothing to send");
    let new = claim(db, id, 1).await;
    assert_ne!(new.job, fence.job);
    assert_eq!(deliveries::load(db, new.job, id).await.unwrap().unwrap().attempts, 0);
    assert!(record(db, new, id, DeliveryStatus::Failed).await);
    let mut tx = db.begin().await.unwrap();
    assert!(!deliveries::begin_again(&mut tx, db, fence.job, id).await.unwrap());
    assert!(deliveries::begin_again(&mut tx, db, new.job, id).await.unwrap());
}

async fn too_many_for_one_endpoint_are_given_up_oldest_first(scratch: &Scratch) {
    let db = &scratch.db;
    let client = add_client(db).await;
    let (full, other) = (add_endpoint(db, client, &[]).await, add_endpoint(db, client, &[Type::BackupFailed]).await);
    emit(db, client, Type::BackupFailed, None).await.unwrap();
    let (data, mut events) = (&json!({}), Vec::new());
    let mut tx = db.begin().await.unwrap();
    for _ in 0..=deliveries::MOST_PENDING {
        let new = NewEvent { client, kind: Type::DiskHigh, data, once: None };
        events.push(events::emit(&mut tx, db, new).await.unwrap().unwrap());
    }
    tx.commit().await.unwrap();
    let waiting = async |endpoint| {
        let of = sql("select count(*) as n from event_deliveries where endpoint_id = $1 and status = 'pending'");
        of.text(endpoint).fetch_one(db, |r| r.int("n")).await.unwrap()
    };
    assert_eq!((waiting(full).await, waiting(other).await), (deliveries::MOST_PENDING, 1));
    let oldest = &deliveries_of(db, client, events[0]).await[0];
    assert_eq!((oldest.status, oldest.next_at), (DeliveryStatus::Failed, None));
    assert!(oldest.error.as_ref().unwrap().starts_with("backlog_full"), "{oldest:?}");
    assert_eq!(deliveries_of(db, client, events[1]).await[0].status, DeliveryStatus::Pending);
}

async fn a_deleted_endpoint_has_no_secret_and_gets_nothing(scratch: &Scratch) {
    let db = &scratch.db;
    let client = add_client(db).await;
    let id = add_endpoint(db, client, &[]).await;
    let event = emit(db, client, Type::DiskHigh, None).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    let until = db.now_ms() + 1000;
    assert!(endpoints::rotate(&mut tx, db, (client, id), "sealed-2", until).await.unwrap());
    let both = endpoints::get(&mut tx, client, id).await.unwrap().unwrap();
    assert_eq!(both.secret_sealed, "sealed-2");
    assert_eq!(both.old_secret.map(|old| (old.sealed, old.until)), Some(("sealed-1".into(), until)));
    assert!(!endpoints::delete(&mut tx, db, ClientId::new(), id).await.unwrap());
    assert!(endpoints::delete(&mut tx, db, client, id).await.unwrap());
    assert!(!endpoints::delete(&mut tx, db, client, id).await.unwrap());
    tx.commit().await.unwrap();
    let left = "select count(*) as n from webhook_endpoints
                where secret_sealed is not null or old_secret_sealed is not null or url <> ''";
    assert_eq!(counted(db, left).await, 0);
    let delivery = &deliveries_of(db, client, event).await[0];
    assert_eq!(
        (delivery.status, delivery.error.as_deref()),
        (DeliveryStatus::Failed, Some("The endpoint was deleted."))
    );
    let fence = claim(db, delivery.id, 1).await;
    assert!(deliveries::load(db, fence.job, delivery.id).await.unwrap().is_none(), "there is nothing to send");
    let later = emit(db, client, Type::DiskHigh, None).await.unwrap();
    assert!(deliveries_of(db, client, later).await.is_empty());
}

async fn what_waits_for_an_endpoint_fails_when_it_is_disabled(scratch: &Scratch) {
    let db = &scratch.db;
    let client = add_client(db).await;
    let (id, other) = (add_endpoint(db, client, &[]).await, add_endpoint(db, client, &[]).await);
    let event = emit(db, client, Type::DiskHigh, None).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    let found = endpoints::get(&mut tx, client, id).await.unwrap().unwrap();
    let renamed = Endpoint { description: "other words".into(), ..found };
    assert!(endpoints::update(&mut tx, db, &renamed).await.unwrap());
    tx.commit().await.unwrap();
    let statuses = async |of| {
        let all = deliveries_of(db, client, event).await;
        all.iter().filter(|d| d.endpoint == of).map(|d| d.status).collect::<Vec<_>>()
    };
    assert_eq!(statuses(id).await, [DeliveryStatus::Pending]);
    let mut tx = db.begin().await.unwrap();
    let disabled = Endpoint { status: EndpointStatus::Disabled, ..renamed };
    assert!(endpoints::update(&mut tx, db, &disabled).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(
        (statuses(id).await, statuses(other).await),
        (vec![DeliveryStatus::Failed], vec![DeliveryStatus::Pending])
    );
}

async fn what_is_old_is_forgotten_unless_it_is_on_its_way(scratch: &Scratch) {
    let db = &scratch.db;
    let client = add_client(db).await;
    let endpoint = add_endpoint(db, client, &[]).await;
    let (ended, waiting) = (emit(db, client, Type::DiskHigh, None).await, emit(db, client, Type::DiskHigh, None).await);
    let id = deliveries_of(db, client, ended.unwrap()).await[0].id;
    let fence = claim(db, id, 1).await;
    assert!(record(db, fence, id, DeliveryStatus::Delivered).await);
    let end = "update jobs set state = 'succeeded', finished_at = 1, lease_owner = null where id = $1";
    sql(end).text(fence.job).execute(db).await.unwrap();
    assert_eq!(purge_finished(db, 2, 100).await.unwrap(), 0, "a delivery names it");
    let all = db.now_ms() + 1;
    events::purge(db, all, 100).await.unwrap();
    assert!(events::get(db, client, ended.unwrap()).await.unwrap().is_none());
    assert!(events::get(db, client, waiting.unwrap()).await.unwrap().is_some());
    assert_eq!(purge_finished(db, 2, 100).await.unwrap(), 1);

    let mut tx = db.begin().await.unwrap();
    endpoints::delete(&mut tx, db, client, endpoint).await.unwrap();
    tx.commit().await.unwrap();
    let left = async || {
        endpoints::purge(db, all + 60_000).await.unwrap();
        counted(db, "select count(*) as n from webhook_endpoints").await
    };
    assert_eq!(left().await, 1, "a delivery names it");
    sql("delete from event_deliveries").execute(db).await.unwrap();
    assert_eq!(left().await, 0);
}
