//! Backup targets, policies, backups and restores, as a client asks for them.

use serde_json::{Value, json};
use shared::store::sql;

use crate::fixture::{Fixture, text};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG";

/// A target that is accepted.
pub fn target() -> Value {
    json!({
        "name": "Frankfurt", "endpoint": "https://s3.example.com", "region": "eu-central-1", "bucket": "shop-backups",
        "prefix": "byop/", "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": SECRET,
    })
}

/// Ids of one of each.
pub struct Ids {
    pub target: String,
    pub policy: String,
    pub backup: String,
    pub restore: String,
}

/// What the worker would have written of a good backup.
async fn verify(t: &Fixture, backup: &str) {
    sql("update backups set status = 'verified', object_key = object_stem || '1.pgdump.age', size_bytes = 5, uploaded_at = 1,
           finished_at = 2, proof = '{\"things\":2,\"contents\":1001}'
         where id = $1")
    .text(backup)
    .execute(&t.app.db)
    .await
    .expect("written");
}

/// One of each kind of thing, of a client's service.
pub async fn one_of_each(t: &Fixture, token: &str, service: &str) -> Ids {
    let made = t.make(token, "/v1/backup-targets", target()).await;
    let policy = json!({"service_id": service, "target_id": made, "schedule": "0 3 * * *", "keep_days": 30});
    let policy = t.make(token, "/v1/backup-policies", policy).await;
    let backup = text(&t.post(token, "/v1/backups", json!({"service_id": service})).await.ok(202)["id"]);
    verify(t, &backup).await;
    let restore = text(&t.post(token, &format!("/v1/backups/{backup}/restore"), json!({})).await.ok(202)["id"]);
    let done = sql("update restores set status = 'succeeded', finished_at = 1 where id = $1");
    done.text(&restore).execute(&t.app.db).await.expect("written");
    Ids { target: made, policy, backup, restore }
}

/// A client with a PostgreSQL and a Redis service.
async fn client(t: &Fixture) -> (String, String, String) {
    let token = t.client().await;
    let app = t.make_app(&token).await;
    t.make_built(&token, &app).await;
    let customer = t.make_customer(&token).await;
    let server = t.make_server(&token, &customer).await;
    for (name, spec) in
        [("web", json!({"kind": "web"})), ("cache", json!({"kind": "redis"})), ("db", json!({"kind": "postgres"}))]
    {
        t.call("PUT", &format!("/v1/apps/{app}/components/{name}")).token(&token).body(spec).send().await.ok(200);
    }
    let deploy = json!({"server_id": server, "domain": format!("{}.example.com", &app[..8])});
    t.make(&token, &format!("/v1/apps/{app}/deployments"), deploy).await;
    let services = t.get(&token, "/v1/services").await.ok(200);
    let of = |kind: &str| {
        let found = services["items"].as_array().expect("a list").iter().find(|s| s["kind"] == kind);
        text(&found.expect("a service")["id"])
    };
    (token, of("postgres"), of("redis"))
}

#[tokio::test]
async fn a_target_never_shows_its_secret_and_stays_where_it_is() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let made = t.post(&token, "/v1/backup-targets", target()).await;
    let id = text(&made.ok(201)["id"]);
    let path = format!("/v1/backup-targets/{id}");
    let change = json!({"name": "Paris", "access_key_id": "NEWKEY", "secret_access_key": "another+secret/1="});
    let changed = t.call("PATCH", &path).token(&token).body(change).send().await;
    assert_eq!((&changed.ok(200)["name"], &changed.ok(200)["access_key_id"]), (&json!("Paris"), &json!("NEWKEY")));
    let seen = t.get(&token, &path).await;
    assert_eq!(seen.ok(200)["endpoint"], "https://s3.example.com/");
    for reply in [&made, &changed, &seen] {
        assert!(!reply.text.contains("secret"), "{}", reply.text);
    }
    let moved = t.call("PATCH", &path).token(&token).body(json!({"bucket": "another"})).send().await;
    assert!(moved.status.is_client_error(), "{}", moved.text);
    let sealed = sql("select secret_key_sealed from backup_targets where id = $1").text(&id);
    let sealed = sealed.fetch_one(&t.app.db, |r| r.text("secret_key_sealed")).await.expect("there");
    assert!(sealed.starts_with("byop1.") && !sealed.contains(SECRET), "{sealed}");
    t.call("DELETE", &path).token(&token).send().await.ok(204);
    t.get(&token, &path).await.problem(404, "not_found");
    t.close().await;
}

#[tokio::test]
async fn endpoints_are_judged_like_webhooks() {
    let t = Fixture::start().await;
    let token = t.client().await;
    for endpoint in [
        "http://s3.example.com",
        "https://127.0.0.1:9000",
        "https://169.254.169.254",
        "https://minio",
        "https://s3.example.com/x",
    ] {
        let mut body = target();
        body["endpoint"] = endpoint.into();
        t.post(&token, "/v1/backup-targets", body).await.problem(422, "invalid_backup_endpoint");
    }
    t.close().await;
    let t = Fixture::start_as(|config| config.dev_mode = true).await;
    let token = t.client().await;
    let mut body = target();
    body["endpoint"] = "http://127.0.0.1:9000".into();
    t.post(&token, "/v1/backup-targets", body).await.ok(201);
    t.close().await;
}

#[tokio::test]
async fn the_key_is_the_clients_own_and_stays() {
    let t = Fixture::start().await;
    let (one, other) = (t.client().await, t.client().await);
    let key = t.post(&one, "/v1/backup-key/export", Value::Null).await.ok(200);
    assert!(
        text(&key["recipient"]).starts_with("age1") && text(&key["identity"]).starts_with("AGE-SECRET-KEY-1"),
        "{key}"
    );
    t.post(&one, "/v1/backup-targets", target()).await.ok(201);
    assert_eq!(t.post(&one, "/v1/backup-key/export", Value::Null).await.ok(200), key);
    assert_ne!(t.post(&other, "/v1/backup-key/export", Value::Null).await.ok(200)["identity"], key["identity"]);
    t.close().await;
}

#[tokio::test]
async fn a_policy_needs_a_limit_and_counts_from_now() {
    let t = Fixture::start().await;
    let (token, postgres, redis) = client(&t).await;
    let made = t.make(&token, "/v1/backup-targets", target()).await;
    let policy = |service: &str, more: Value| {
        let mut body = json!({"service_id": service, "target_id": made, "schedule": "0 3 * * *"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    let path = "/v1/backup-policies";
    t.post(&token, path, policy(&postgres, json!({}))).await.problem(422, "invalid_body");
    t.post(&token, path, policy(&postgres, json!({"keep_count": 1, "schedule": "0 0 30 2 *"})))
        .await
        .problem(422, "invalid_body");
    t.post(&token, path, policy(&redis, json!({"keep_count": 1}))).await.problem(422, "backup_kind_unsupported");
    let made = t.post(&token, path, policy(&postgres, json!({"keep_count": 7}))).await.ok(201);
    assert!(text(&made["next_at"]).ends_with("T03:00:00Z"), "{made}");
    t.post(&token, path, policy(&postgres, json!({"keep_count": 7}))).await.problem(409, "backup_policy_exists");
    let one = format!("{path}/{}", text(&made["id"]));
    let patch = |body: Value| t.call("PATCH", &one).token(&token).body(body).send();
    patch(json!({"keep_count": null})).await.problem(422, "invalid_body");
    patch(json!({"keep_days": 0})).await.problem(422, "invalid_body");
    let changed =
        patch(json!({"keep_count": null, "keep_days": 30, "schedule": "30 4 * * *", "enabled": false})).await.ok(200);
    assert_eq!(
        (&changed["keep_days"], &changed["keep_count"], &changed["enabled"]),
        (&json!(30), &Value::Null, &json!(false))
    );
    assert!(text(&changed["next_at"]).ends_with("T04:30:00Z"), "{changed}");
    t.call("DELETE", &one).token(&token).send().await.ok(204);
    t.close().await;
}

#[tokio::test]
async fn only_a_good_backup_is_restored_and_what_lives_is_backed_up_before() {
    let t = Fixture::start().await;
    let (token, postgres, redis) = client(&t).await;
    let order = json!({"service_id": postgres});
    t.post(&token, "/v1/backups", order.clone()).await.problem(422, "invalid_body");
    let made = t.make(&token, "/v1/backup-targets", target()).await;
    let order = json!({"service_id": postgres, "target_id": made});
    let backup = t.post(&token, "/v1/backups", order.clone()).await.ok(202);
    assert_eq!((&backup["status"], &backup["kind"]), (&json!("queued"), &json!("postgres")));
    let id = text(&backup["id"]);
    assert_eq!(t.post(&token, "/v1/backups", order).await.ok(202)["id"], json!(id), "one at a time");
    let restore = format!("/v1/backups/{id}/restore");
    t.post(&token, &restore, json!({})).await.problem(409, "backup_not_verified");
    verify(&t, &id).await;
    let seen = t.get(&token, &format!("/v1/backups/{id}")).await.ok(200);
    assert_eq!(seen["proof"], json!({"tables": 2, "rows": 1001}));
    t.post(&token, &restore, json!({"service_id": redis})).await.problem(409, "backup_kind_mismatch");
    let restoring = t.post(&token, &restore, json!({})).await.ok(202);
    let safety = t.get(&token, &format!("/v1/backups/{}", text(&restoring["safety_backup_id"]))).await.ok(200);
    assert_eq!((&safety["status"], &safety["service_id"]), (&json!("queued"), &json!(postgres)));
    t.post(&token, &restore, json!({})).await.problem(409, "restore_active");
    let path = format!("/v1/backups/{id}");
    t.call("DELETE", &path).token(&token).send().await.problem(409, "backup_in_use");
    t.call("DELETE", &format!("/v1/backup-targets/{made}"))
        .token(&token)
        .send()
        .await
        .problem(409, "backup_target_in_use");
    sql("update restores set status = 'succeeded', finished_at = 1").execute(&t.app.db).await.expect("written");
    t.call("DELETE", &path).token(&token).send().await.ok(204);
    assert!(t.get(&token, &path).await.ok(200)["delete_requested_at"].is_string());
    t.close().await;
}

#[tokio::test]
async fn a_volume_is_of_an_app_that_was_deployed_to_the_server() {
    let t = Fixture::start().await;
    let (token, postgres, _) = client(&t).await;
    let target = t.make(&token, "/v1/backup-targets", target()).await;
    let services = t.get(&token, "/v1/services").await.ok(200);
    let (server, app) = (text(&services["items"][0]["server_id"]), text(&services["items"][0]["app_id"]));
    let volume = json!({"server_id": server, "app_id": app, "name": "uploads"});
    let made = t.post(&token, "/v1/backups", json!({"volume": volume, "target_id": target})).await.ok(202);
    assert_eq!((&made["kind"], &made["volume"], &made["service_id"]), (&json!("volume"), &volume, &Value::Null));
    for body in [
        json!({"target_id": target}),
        json!({"volume": volume, "service_id": postgres, "target_id": target}),
        json!({"volume": {"server_id": server, "app_id": app, "name": "../etc"}, "target_id": target}),
    ] {
        t.post(&token, "/v1/backups", body).await.problem(422, "invalid_body");
    }
    let other = json!({"server_id": server, "app_id": t.make_app(&token).await, "name": "uploads"});
    t.post(&token, "/v1/backups", json!({"volume": other, "target_id": target})).await.problem(404, "not_found");
    let stranger = t.client().await;
    let own = t.make(&stranger, "/v1/backup-targets", crate::backups::target()).await;
    t.post(&stranger, "/v1/backups", json!({"volume": volume, "target_id": own})).await.problem(404, "not_found");
    t.close().await;
}
