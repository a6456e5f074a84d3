//! The things a client works with, and what happens between them.

use serde_json::json;
use shared::{domain::AppId, store::sql};

use crate::{
    clouds::TOKEN,
    fixture::{Fixture, OPERATOR, text},
    walk::{body, fill, one_of_each, operations},
};

#[tokio::test]
async fn an_app_is_made_changed_listed_and_deleted() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let new = json!({"slug": "shop", "git_url": "git@git.example.com:a/b.git", "port": 3000, "base_directory": "web/"});
    let made = t.post(&token, "/v1/apps", new.clone()).await.ok(201);
    let path = format!("/v1/apps/{}", text(&made["id"]));
    assert_eq!((&made["git_branch"], &made["base_directory"]), (&json!("main"), &json!("web")));
    t.post(&token, "/v1/apps", new.clone()).await.problem(409, "slug_taken");
    let change = json!({"git_branch": "next", "port": null, "health_path": "/healthz"});
    let changed = t.call("PATCH", &path).token(&token).body(change).send().await.ok(200);
    assert_eq!((&changed["git_branch"], &changed["health_path"]), (&json!("next"), &json!("/healthz")));
    assert!(changed.get("port").is_none());
    assert_eq!(changed["git_url"], made["git_url"]);
    assert_eq!(t.get(&token, &path).await.ok(200), changed);
    t.call("DELETE", &path).token(&token).send().await.ok(204);
    t.get(&token, &path).await.problem(404, "not_found");
    t.post(&token, "/v1/apps", new).await.ok(201);
    for url in
        ["file:///etc/passwd", "http://git.example.com/a", "https://u:p@git.example.com/a", "https://10.0.0.1/a", "-x"]
    {
        t.post(&token, "/v1/apps", json!({"slug": "x", "git_url": url})).await.problem(422, "invalid_git_url");
    }
    for (field, value) in
        [("git_branch", "a;id"), ("base_directory", "../x"), ("slug", "A b"), ("health_path", "/`id`")]
    {
        let mut bad = json!({"slug": "x", "git_url": "https://git.example.com/a"});
        bad[field] = value.into();
        t.post(&token, "/v1/apps", bad).await.problem(422, "invalid_body");
    }
    t.close().await;
}

#[tokio::test]
async fn lists_are_pages() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.insert(0, t.make_customer(&token).await);
    }
    let (mut seen, mut path) = (Vec::new(), "/v1/customers?limit=2".to_owned());
    loop {
        let page = t.get(&token, &path).await.ok(200);
        seen.extend(page["items"].as_array().expect("items").iter().map(|c| text(&c["id"])));
        match page.get("next_cursor") {
            Some(cursor) => path = format!("/v1/customers?limit=2&cursor={}", text(cursor)),
            None => break,
        }
    }
    assert_eq!(seen, made);
    t.close().await;
}

#[tokio::test]
async fn a_build_is_asked_for_once_while_it_is_active() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let app = t.make_app(&token).await;
    let path = format!("/v1/apps/{app}/builds");
    let first = t.post(&token, &path, json!({})).await;
    let build = first.ok(202);
    assert_eq!(first.header("location"), Some(format!("/v1/builds/{}", text(&build["id"])).as_str()));
    assert_eq!((&build["status"], &build["already_active"]), (&json!("pending"), &json!(false)));
    let again = t.post(&token, &path, json!({"ref": "main"})).await.ok(202);
    assert_eq!((&again["id"], &again["already_active"]), (&build["id"], &json!(true)));
    let commit = t.post(&token, &path, json!({"commit": "b".repeat(40)})).await.ok(202);
    assert_ne!(commit["id"], build["id"]);
    let cancel = format!("/v1/builds/{}/cancel", text(&build["id"]));
    t.call("POST", &cancel).token(&token).send().await.ok(202);
    let rebuild = t.post(&token, &path, json!({})).await.ok(202);
    assert_ne!(rebuild["id"], build["id"]);
    let jobs = t.get(OPERATOR, "/v1/operator/jobs?state=cancelled").await.ok(200);
    assert_eq!(jobs["items"][0]["subject_id"], build["id"]);
    t.close().await;
}

#[tokio::test]
async fn a_machine_of_ones_own_gets_a_login_key_made_here() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let customer = t.make_customer(&token).await;
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    let host = json!({"address": "vps.example.com", "port": 2222, "user": "deploy", "host_key": key});
    let request = json!({"customer_id": customer, "provider": "host", "host": host});
    let made = t.post(&token, "/v1/servers", request).await.ok(202);
    assert_eq!(
        (&made["status"], &made["host_key"], &made["ssh_port"]),
        (&json!("requested"), &json!(key), &json!(2222))
    );
    assert!(text(&made["login_public_key"]).starts_with("ssh-ed25519 AAAA"));
    for (change, code) in [
        (json!({"provider": "host"}), "invalid_body"),
        (json!({"provider": "local", "host": host}), "invalid_body"),
        (json!({"provider": "host", "host": {"address": "-oProxyCommand=id", "host_key": key}}), "invalid_body"),
        (
            json!({"provider": "host", "host": {"address": "vps.example.com", "host_key": "rubbish"}}),
            "invalid_public_key",
        ),
        (json!({"provider": "host", "host": {"address": "169.254.169.254", "host_key": key}}), "private_address"),
        (json!({"provider": "host", "host": {"address": "localhost", "host_key": key}}), "private_address"),
    ] {
        let mut bad = json!({"customer_id": customer});
        bad.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        t.post(&token, "/v1/servers", bad).await.problem(422, code);
    }
    let path = format!("/v1/servers/{}", text(&made["id"]));
    let deleting = t.call("DELETE", &path).token(&token).send().await.ok(202);
    assert_eq!(deleting["deleting"], true);
    assert_eq!(t.call("DELETE", &path).token(&token).send().await.ok(202)["deleting"], true);
    let queued = "select count(*) as n from jobs where kind = 'provision' and state = 'queued'";
    assert_eq!(sql(queued).fetch_one(&t.app.db, |r| r.int("n")).await.expect("a count"), 1);
    t.close().await;
}

#[tokio::test]
async fn a_domain_belongs_to_one_app_on_one_server() {
    let t = Fixture::start().await;
    let (a, b) = (t.client().await, t.client().await);
    let ids = one_of_each(&t, &a).await;
    let domain = t.get(&a, &format!("/v1/deployments/{}", ids["deployment_id"])).await.ok(200)["domain"].clone();
    let app = t.make_app(&b).await;
    t.make_built(&b, &app).await;
    let customer = t.make_customer(&b).await;
    let server = t.make_server(&b, &customer).await;
    let path = format!("/v1/apps/{app}/deployments");
    let deploy = || t.post(&b, &path, json!({"server_id": server, "domain": domain}));
    deploy().await.problem(409, "domain_taken");
    sql("update deployments set status = 'failed' where id = $1")
        .text(&ids["deployment_id"])
        .execute(&t.app.db)
        .await
        .expect("updated");
    deploy().await.ok(202);
    t.close().await;
}

#[tokio::test]
async fn a_deployment_is_stopped_and_deleted() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let ids = one_of_each(&t, &token).await;
    let path = format!("/v1/deployments/{}", ids["deployment_id"]);
    let act = |method: &'static str, end: &str| t.call(method, &format!("{path}{end}")).token(&token).send();
    act("POST", "/stop").await.problem(409, "not_live");
    sql("update deployments set status = 'live' where id = $1")
        .text(&ids["deployment_id"])
        .execute(&t.app.db)
        .await
        .expect("updated");
    assert_eq!(act("POST", "/stop").await.ok(202)["desired"], "stopped");
    assert_eq!(act("POST", "/stop").await.ok(202)["desired"], "stopped");
    act("POST", "/cancel").await.problem(409, "already_finished");
    let app = format!("/v1/apps/{}", ids["app_id"]);
    t.call("DELETE", &app).token(&token).send().await.problem(409, "app_in_use");
    let customer = format!("/v1/customers/{}", ids["customer_id"]);
    t.call("DELETE", &customer).token(&token).send().await.problem(409, "customer_in_use");
    assert_eq!(act("DELETE", "").await.ok(202)["desired"], "deleted");
    assert_eq!(act("DELETE", "").await.ok(202)["desired"], "deleted");
    t.close().await;
}

#[tokio::test]
async fn secrets_stand_in_no_answer_and_in_no_row() {
    const SECRET: &str = "s3cr3t-that-nobody-may-see";
    let t = Fixture::start().await;
    let token = t.client().await;
    let ids = one_of_each(&t, &token).await;
    let set = json!({"value": SECRET, "scope": "both"});
    let path = format!("/v1/apps/{}/env/SECRET", ids["app_id"]);
    let put = t.call("PUT", &path).token(&token).body(set).send().await;
    put.ok(200);
    let plain = json!({"value": "shown", "secret": false});
    let path = format!("/v1/apps/{}/env/PLAIN", ids["app_id"]);
    assert_eq!(t.call("PUT", &path).token(&token).body(plain).send().await.ok(200)["value"], "shown");
    let deploy = json!({"server_id": ids["server_id"], "domain": "second.example.com"});
    let deployed = t.post(&token, &format!("/v1/apps/{}/deployments", ids["app_id"]), deploy).await;
    deployed.ok(202);
    let mut answers = vec![put, deployed];
    for operation in operations() {
        // No container can be asked for its log: the server of the test is none.
        let of_container = operation.path.contains("/components/{component}/logs");
        if operation.method == "get" && !operation.path.ends_with("/stream") && !of_container {
            let bearer = if operation.security.as_deref() == Some("operator") { OPERATOR } else { &token };
            answers.push(t.get(bearer, &fill(&operation.path, &ids)).await);
        }
    }
    for answer in &answers {
        assert!(answer.status.is_success(), "{}", answer.text);
        for hidden in [SECRET, TOKEN, "the owner's secret", "byop1.", "PRIVATE KEY", "argon2", "_sealed", "password"] {
            assert!(!answer.text.contains(hidden), "{hidden} in {}", answer.text);
        }
    }
    let stored =
        sql("select value as v from app_env where name = 'SECRET'").fetch_one(&t.app.db, |r| r.text("v")).await;
    assert!(stored.expect("a row").starts_with("byop1."));
    t.close().await;
}

#[tokio::test]
async fn a_deploy_key_in_use_stays() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let key = t.post(&token, "/v1/deploy-keys", json!({"name": "forge"})).await.ok(201);
    let path = format!("/v1/deploy-keys/{}", text(&key["id"]));
    let app = json!({"slug": "a", "git_url": "git@git.example.com:a/b", "deploy_key_id": key["id"]});
    let app: AppId = t.make(&token, "/v1/apps", app).await.parse().expect("an id");
    t.call("DELETE", &path).token(&token).send().await.problem(409, "deploy_key_in_use");
    t.call("DELETE", &format!("/v1/apps/{app}")).token(&token).send().await.ok(204);
    t.call("DELETE", &path).token(&token).send().await.ok(204);
    t.close().await;
}

#[tokio::test]
async fn operators_replay_dead_letters_and_hold_queues() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let app = t.make_app(&token).await;
    t.make(&token, &format!("/v1/apps/{app}/builds"), json!({})).await;
    let job = text(&t.get(OPERATOR, "/v1/operator/jobs?state=queued").await.ok(200)["items"][0]["id"]);
    let replay = format!("/v1/operator/jobs/{job}/replay");
    t.call("POST", &replay).token(OPERATOR).send().await.problem(409, "not_dead");
    sql("update jobs set state = 'dead', attempt = 3, finished_at = 1, last_error = 'boom' where id = $1")
        .text(&job)
        .execute(&t.app.db)
        .await
        .expect("updated");
    let dead = t.get(OPERATOR, "/v1/operator/jobs").await.ok(200);
    assert_eq!((&dead["items"][0]["id"], &dead["items"][0]["last_error"]), (&json!(job), &json!("boom")));
    assert_eq!(t.call("POST", &replay).token(OPERATOR).send().await.ok(202)["state"], "queued");
    let shown = t.get(OPERATOR, &format!("/v1/operator/jobs/{job}")).await.ok(200);
    assert_eq!(shown["events"][0]["event"], "replayed");
    let hold = body("update_queue", &Default::default());
    t.call("PATCH", "/v1/operator/queues/nothing").token(OPERATOR).body(hold).send().await.problem(404, "not_found");
    let hold = json!({"paused": true, "max_running_per_client": 5});
    let queue = t.call("PATCH", "/v1/operator/queues/build").token(OPERATOR).body(hold).send().await.ok(200);
    assert_eq!((&queue["kind"], &queue["paused"]), (&json!("build"), &json!(true)));
    assert_eq!(queue["max_running_per_client"], 5);
    assert!(t.get(OPERATOR, "/v1/operator/queues").await.ok(200)["items"].as_array().expect("items").contains(&queue));
    t.close().await;
}
