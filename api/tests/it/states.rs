//! What was last seen of servers and deployments, repair, and the logs of components, as far as no server is needed.

use serde_json::{Value, json};
use shared::store::sql;

use crate::fixture::{Fixture, text};

/// A live deployment on a ready server, as the workers would leave them.
struct Live {
    token: String,
    server: String,
    app: String,
    deployment: String,
}

async fn live(t: &Fixture) -> Live {
    let token = t.client().await;
    let app = t.make_app(&token).await;
    t.make_built(&token, &app).await;
    let customer = t.make_customer(&token).await;
    let server = t.make_server(&token, &customer).await;
    let deploy = json!({"server_id": server, "domain": format!("{}.example.com", &app[..8])});
    let deployment = t.make(&token, &format!("/v1/apps/{app}/deployments"), deploy).await;
    let db = &t.app.db;
    for (statement, id) in [
        ("update servers set status = 'ready' where id = $1", &server),
        ("update deployments set status = 'live' where id = $1", &deployment),
        ("update jobs set state = 'succeeded', finished_at = 1 where subject_id = $1", &deployment),
        ("update jobs set state = 'succeeded', finished_at = 1 where subject_id = $1", &server),
    ] {
        sql(statement).text(id).execute(db).await.expect("updated");
    }
    Live { token, server, app, deployment }
}

/// Facts as a look leaves them.
fn facts(live: &Live) -> Value {
    json!({
        "machine": {"disk_total": 100, "disk_used": 60, "disk_free": 40, "memory_total": 8, "memory_free": 4, "cpus": 2,
            "load_milli": [500, 250, 1000], "uptime_s": 12},
        "containers": [{
            "id": "c1", "name": "web-1", "role": "release", "app": live.app, "deployment": live.deployment,
            "component": "web", "once": false, "image": "r/x/y@sha256:bb", "digests": [], "state": "running",
            "health": "unhealthy", "restarts": 3, "exit_code": 137, "out_of_memory": true, "started_at": 1000,
            "usage": {"memory": 10, "cpu_usec": 5, "milli_cpus": 250}, "memory_limit": 20, "milli_cpus_limit": null,
            "ports": [{"host_port": 8080, "port": 80, "protocol": "tcp"}],
        }],
        "routes": {&live.app: "ab"},
        "certificates": [{"domain": "a.example", "checked_at": 1, "not_before": 1, "not_after": 2000, "error": null}],
        "drift": [{"kind": "missing", "component": null, "expected": "a running edge proxy", "found": "none"}],
        "deployments": [{"deployment": live.deployment, "drift": [
            {"kind": "image", "component": "web", "expected": "sha256:aa", "found": "sha256:bb"}]}],
    })
}

async fn keep(t: &Fixture, live: &Live, age_ms: i64) {
    let owner = "select client_id from servers where id = $1";
    let client = sql(owner).text(&live.server).fetch_one(&t.app.db, |r| r.text("client_id")).await.expect("a server");
    sql("insert into observations (server_id, client_id, facts, observed_at, tried_at, reachable, failures, failing_since,
           error_code, error_message) values ($1, $2, $3, $4, $4, 0, 4, 5, 'ssh_unreachable', 'gone')")
    .text(&live.server)
    .text(client)
    .text(facts(live))
    .int(t.app.db.now_ms() - age_ms)
    .execute(&t.app.db)
    .await
    .expect("inserted");
}

#[tokio::test]
async fn nothing_is_known_before_the_first_look() {
    let t = Fixture::start().await;
    let live = live(&t).await;
    let server = t.get(&live.token, &format!("/v1/servers/{}/state", live.server)).await.ok(200);
    let nothing = json!({"server_id": live.server, "failures": 0, "containers": [], "containers_left_out": 0, "certificates": [], "drift": []});
    assert_eq!(server, nothing);
    let deployment = t.get(&live.token, &format!("/v1/deployments/{}/state", live.deployment)).await.ok(200);
    assert!(deployment.get("drift").is_none() && deployment.get("observed_at").is_none(), "{deployment}");
    assert_eq!(deployment["components"][0]["containers"], json!([]));
    t.close().await;
}

#[tokio::test]
async fn the_last_look_says_how_old_it_is() {
    let t = Fixture::start().await;
    let live = live(&t).await;
    keep(&t, &live, 90_500).await;
    let server = t.get(&live.token, &format!("/v1/servers/{}/state", live.server)).await.ok(200);
    assert!((90..120).contains(&server["age_s"].as_i64().expect("a number")), "{server}");
    assert_eq!((&server["reachable"], &server["failures"]), (&json!(false), &json!(4)));
    assert_eq!(server["error_code"], "ssh_unreachable");
    assert_eq!(
        (&server["machine"]["disk_used_percent"], &server["machine"]["load"]),
        (&json!(60), &json!([0.5, 0.25, 1.0]))
    );
    assert_eq!(server["drift"][0]["kind"], "missing");
    assert_eq!(server["certificates"][0]["not_after"], "1970-01-01T00:00:02Z");
    let container = &server["containers"][0];
    assert_eq!(
        (&container["state"], &container["health"], &container["restarts"]),
        (&json!("running"), &json!("unhealthy"), &json!(3))
    );
    assert_eq!((&container["deployment_id"], &container["milli_cpus"]), (&json!(live.deployment), &json!(250)));
    assert!(container.get("exit_code").is_none(), "it runs");
    t.close().await;
}

#[tokio::test]
async fn a_deployment_shows_its_drift() {
    let t = Fixture::start().await;
    let live = live(&t).await;
    keep(&t, &live, 0).await;
    let path = format!("/v1/deployments/{}/state", live.deployment);
    let state = t.get(&live.token, &path).await.ok(200);
    let drift = json!([{"kind": "image", "component": "web", "expected": "sha256:aa", "found": "sha256:bb"}]);
    assert_eq!(state["drift"], drift);
    let component = &state["components"][0];
    assert_eq!(component["containers"][0]["digest"], "sha256:bb");
    assert_eq!(component["deployed_digest"], format!("sha256:{}", "a".repeat(64)));
    let other = t.client().await;
    t.get(&other, &path).await.problem(404, "not_found");
    // What a version to come, or one long gone, has written is nothing, and no failure.
    sql("update observations set facts = '[]'").execute(&t.app.db).await.expect("updated");
    let state = t.get(&live.token, &path).await.ok(200);
    assert!(state.get("drift").is_none() && state["observed_at"].is_string(), "{state}");
    t.close().await;
}

#[tokio::test]
async fn only_a_live_deployment_is_repaired_and_by_one_job() {
    let t = Fixture::start().await;
    let live = live(&t).await;
    let path = format!("/v1/deployments/{}/repair", live.deployment);
    let repair = async |key: &str| t.call("POST", &path).token(&live.token).key(key).send().await;
    let first = repair("k1").await;
    assert_eq!(first.header("location"), Some(format!("/v1/deployments/{}", live.deployment).as_str()));
    assert_eq!(text(&first.ok(202)["status"]), "live");
    let state = t.get(&live.token, &format!("/v1/deployments/{}/state", live.deployment)).await.ok(200);
    assert!(state["repair_requested_at"].is_string(), "{state}");
    assert_eq!(repair("k1").await.text, first.text, "the same request");
    repair("k2").await.ok(202);
    let jobs = "select count(*) as n from jobs where kind = 'deploy' and state = 'queued' and subject_id = $1";
    let queued = async || sql(jobs).text(&live.deployment).fetch_one(&t.app.db, |r| r.int("n")).await.expect("counted");
    assert_eq!(queued().await, 1);
    // The job that was given up can be followed by another.
    sql("update jobs set state = 'failed', finished_at = 1 where state = 'queued' and subject_id = $1")
        .text(&live.deployment)
        .execute(&t.app.db)
        .await
        .expect("updated");
    repair("k3").await.ok(202);
    assert_eq!(queued().await, 1);
    sql("update deployments set status = 'stopped' where id = $1")
        .text(&live.deployment)
        .execute(&t.app.db)
        .await
        .expect("updated");
    repair("k4").await.problem(409, "not_live");
    t.close().await;
}

#[tokio::test]
async fn logs_of_components_are_asked_for_with_care() {
    let t = Fixture::start().await;
    let live = live(&t).await;
    let path = format!("/v1/deployments/{}/components", live.deployment);
    t.get(&live.token, &format!("{path}/nobody/logs")).await.problem(404, "not_found");
    t.get(&live.token, &format!("{path}/no%20name/logs")).await.problem(404, "not_found");
    t.get(&live.token, &format!("{path}/web/logs?since=yesterday")).await.problem(400, "invalid_parameter");
    // The server has no address: it cannot be asked, and the client is told why.
    for kind in ["logs", "logs/stream"] {
        t.get(&live.token, &format!("{path}/web/{kind}?tail=5&since=15m")).await.problem(502, "server_incomplete");
    }
    sql("update servers set status = 'stopped' where id = $1")
        .text(&live.server)
        .execute(&t.app.db)
        .await
        .expect("updated");
    t.get(&live.token, &format!("{path}/web/logs")).await.problem(409, "server_not_ready");
    let other = t.client().await;
    t.get(&other, &format!("{path}/web/logs")).await.problem(404, "not_found");
    t.close().await;
}

#[tokio::test]
async fn each_domain_tells_its_certificate() {
    let t = Fixture::start().await;
    let live = live(&t).await;
    let path = format!("/v1/deployments/{}/domains", live.deployment);
    let shown = async || {
        let found = t.get(&live.token, &path).await.ok(200);
        assert_eq!(found["items"].as_array().map(Vec::len), Some(1));
        found["items"][0].clone()
    };
    let first = shown().await;
    assert_eq!(first["certificate"], json!({"state": "none"}));
    assert_eq!((&first["proved"], &first["held"], first.get("dns")), (&json!(false), &json!(true), None));
    let set = async |statement, value: i64, id: &str| {
        sql(statement).int(value).text(id).execute(&t.app.db).await.expect("updated");
    };
    let (now, day) = (t.app.db.now_ms(), 24 * 3600 * 1000);
    set("update deployments set deployed_at = $1 where id = $2", now, &live.deployment).await;
    assert_eq!(shown().await["certificate"], json!({"state": "requested"}));

    keep(&t, &live, 0).await;
    let see = async |more: Value| {
        let mut certificate = json!({"domain": first["domain"], "checked_at": 1000, "not_before": now - 30 * day,
            "not_after": now + 60 * day, "issuer": "CN=An Authority", "error": null});
        certificate.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
        let mut all = facts(&live);
        all["certificates"] = json!([certificate]);
        sql("update observations set facts = $1").text(all).execute(&t.app.db).await.expect("updated");
        shown().await["certificate"].clone()
    };
    let valid = see(json!({})).await;
    assert_eq!((&valid["state"], &valid["issuer"]), (&json!("valid"), &json!("CN=An Authority")));
    assert_eq!(valid["checked_at"], "1970-01-01T00:00:01Z");
    assert!(valid["not_before"].is_string() && valid["not_after"].is_string() && valid.get("reason").is_none());
    assert_eq!(see(json!({"not_after": now + day})).await["state"], "expiring");
    assert_eq!(see(json!({"not_after": now - day})).await["state"], "expired");
    let refused = json!({"refused": "unknown issuer"});
    let early = see(refused.clone()).await;
    assert_eq!((&early["state"], &early["reason"]), (&json!("requested"), &json!("unknown issuer")));
    set("update deployments set deployed_at = $1 where id = $2", now - day, &live.deployment).await;
    assert_eq!(see(refused).await["state"], "failed");
    let elsewhere = see(json!({"refused": "unknown issuer", "dns": "it leads elsewhere"})).await;
    assert_eq!((&elsewhere["state"], &elsewhere["reason"]), (&json!("dns_wrong"), &json!("it leads elsewhere")));
    assert_eq!(elsewhere["dns_error"], "it leads elsewhere");

    sql("update servers set address = '192.0.2.9' where id = $1")
        .text(&live.server)
        .execute(&t.app.db)
        .await
        .expect("set");
    let record = shown().await["dns"].clone();
    assert_eq!(
        (&record["type"], &record["value"], &record["name"]),
        (&json!("A"), &json!("192.0.2.9"), &first["domain"])
    );
    let stranger = t.client().await;
    t.get(&stranger, &path).await.problem(404, "not_found");
    t.close().await;
}
