//! The things a client works with, and what happens between them.

use serde_json::{Value, json};
use shared::{
    domain::{AppId, ClientId, DeploymentId},
    secrets::Place,
    store::{deployments, sql},
};

use crate::{
    clouds::{self, TOKEN},
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
async fn a_deployment_freezes_what_it_needs() {
    let t = Fixture::start().await;
    let made = t.sign_up().await;
    let token = text(&made["tokens"]["access_token"]);
    let app = t.make_app(&token).await;
    let deploy = format!("/v1/apps/{app}/deployments");
    let customer = t.make_customer(&token).await;
    let request = json!({"customer_id": customer, "domain": "Shop.Example.com"});
    t.post(&token, &deploy, request.clone()).await.problem(409, "no_server");
    let server = t.make_server(&token, &customer).await;
    t.post(&token, &deploy, request.clone()).await.problem(409, "no_image");
    let build = t.make_built(&token, &app).await;
    for (name, scope) in [("AT_RUN", "run"), ("AT_BUILD", "build"), ("EVERYWHERE", "both")] {
        let set = json!({"value": format!("value of {name}"), "scope": scope});
        t.call("PUT", &format!("/v1/apps/{app}/env/{name}")).token(&token).body(set).send().await.ok(200);
    }
    let first = t.post(&token, &deploy, request).await.ok(202);
    assert_eq!((&first["domain"], &first["build_id"]), (&json!("shop.example.com"), &json!(build)));
    assert_eq!((&first["sequence"], &first["server_id"], &first["port"]), (&json!(1), &json!(server), &json!(3000)));
    check_environment(&t, &text(&made["client_id"]), &text(&first["id"])).await;
    let second = json!({"server_id": server, "build_id": build, "domain": "shop.example.com"});
    assert_eq!(t.post(&token, &deploy, second).await.ok(202)["sequence"], 2);
    let jobs = "select count(*) as n from jobs where kind = 'deploy' and exclusive_key = $1";
    assert_eq!(
        sql(jobs).text(format!("deploy:{server}:{app}")).fetch_one(&t.app.db, |r| r.int("n")).await.expect("a count"),
        2
    );
    t.close().await;
}

async fn check_environment(t: &Fixture, client: &str, deployment: &str) {
    let expected = json!({"AT_RUN": "value of AT_RUN", "EVERYWHERE": "value of EVERYWHERE"});
    assert_eq!(environment_of(t, client, deployment).await, expected);
}

async fn environment_of(t: &Fixture, client: &str, deployment: &str) -> Value {
    let (client, id): (ClientId, DeploymentId) = (client.parse().expect("an id"), deployment.parse().expect("an id"));
    let row = deployments::get(&t.app.db, client, id).await.expect("read").expect("a row");
    let place = Place { client, field: deployments::ENV_FIELD, row: deployment };
    let opened = t.app.config.master_key.open(place, &row.env_sealed).expect("opens");
    serde_json::from_slice(&opened).expect("JSON")
}

#[tokio::test]
async fn of_one_name_the_customers_value_counts_then_the_apps_then_the_clients() {
    let t = Fixture::start().await;
    let (made, stranger) = (t.sign_up().await, t.client().await);
    let (token, client) = (text(&made["tokens"]["access_token"]), text(&made["client_id"]));
    let (app, customer) = (t.make_app(&token).await, t.make_customer(&token).await);
    let (server, _) = (t.make_server(&token, &customer).await, t.make_built(&token, &app).await);
    let (of_app, of_customer) = (format!("/v1/apps/{app}/env"), format!("/v1/customers/{customer}/env"));
    let put = |owner: &str, name: &str, body: Value| {
        t.call("PUT", &format!("{owner}/{name}")).token(&token).body(body).send()
    };
    let value = |value: &str| json!({"value": value, "secret": value.len().is_multiple_of(2)});
    for (owner, names) in [("/v1/env", "ALL APP CUSTOMER"), (&of_app, "APP CUSTOMER"), (&of_customer, "CUSTOMER")] {
        for name in names.split(' ') {
            put(owner, name, value(&format!("{name} of {owner}"))).await.ok(200);
        }
    }
    put("/v1/env", "AT_BUILD", json!({"value": "b", "scope": "build"})).await.ok(200);
    put(&of_customer, "AT_BUILD", json!({"value": "b", "scope": "build"})).await.problem(422, "invalid_body");
    put(&of_customer, "9", value("x")).await.problem(422, "invalid_name");
    let listed = t.get(&token, &of_customer).await.ok(200);
    assert_eq!((&listed["items"][0]["name"], listed["items"].as_array().map(Vec::len)), (&json!("CUSTOMER"), Some(1)));
    assert!(t.get(&stranger, "/v1/env").await.ok(200)["items"].as_array().is_some_and(Vec::is_empty));
    t.get(&stranger, &of_customer).await.problem(404, "not_found");

    let request = json!({"server_id": server, "domain": "shop.example.com"});
    let deployed = t.post(&token, &format!("/v1/apps/{app}/deployments"), request).await.ok(202);
    let id = text(&deployed["id"]);
    let expected = json!({
        "ALL": "ALL of /v1/env", "APP": format!("APP of {of_app}"), "CUSTOMER": format!("CUSTOMER of {of_customer}"),
    });
    assert_eq!(environment_of(&t, &client, &id).await, expected);

    // What a deployment made now would have, only of what is live.
    let path = format!("/v1/deployments/{id}");
    put("/v1/env", "NEW", value("n")).await.ok(200);
    assert!(t.get(&token, &path).await.ok(200).get("env_changes").is_none());
    clouds::set(&t, "update deployments set status = 'live' where id = $1", &id).await;
    put(&of_app, "APP", value("another")).await.ok(200);
    put("/v1/env", "CUSTOMER", value("of no account here")).await.ok(200);
    t.call("DELETE", "/v1/env/ALL").token(&token).send().await.ok(204);
    let changes = json!({"added": ["NEW"], "changed": ["APP"], "removed": ["ALL"]});
    assert_eq!(t.get(&token, &path).await.ok(200)["env_changes"], changes);
    assert!(!t.get(&token, &path).await.text.contains("another"), "names only");

    // A customer's variables go with it.
    t.call("DELETE", &path).token(&token).send().await.ok(202);
    clouds::set(&t, "update servers set status = 'deleted' where id = $1", &server).await;
    t.call("DELETE", &format!("/v1/customers/{customer}")).token(&token).send().await.ok(204);
    let left = sql("select count(*) as n from shared_env where owner_id = $1").text(&customer);
    assert_eq!(left.fetch_one(&t.app.db, |r| r.int("n")).await.expect("a count"), 0);
    t.close().await;
}

#[tokio::test]
async fn going_back_brings_what_was_frozen_and_not_what_the_app_is_now() {
    let t = Fixture::start().await;
    let (made, stranger) = (t.sign_up().await, t.client().await);
    let (token, client) = (text(&made["tokens"]["access_token"]), text(&made["client_id"]));
    let app = t.make_app(&token).await;
    let customer = t.make_customer(&token).await;
    let server = t.make_server(&token, &customer).await;
    t.make_built(&token, &app).await;
    let set = async |name: &str, value: &str| {
        let body = json!({"value": value, "scope": "run"});
        t.call("PUT", &format!("/v1/apps/{app}/env/{name}")).token(&token).body(body).send().await.ok(200);
    };
    set("AT_RUN", "value of AT_RUN").await;
    set("EVERYWHERE", "value of EVERYWHERE").await;
    let request = json!({"server_id": server, "domain": "shop.example.com"});
    let first = t.post(&token, &format!("/v1/apps/{app}/deployments"), request).await.ok(202);
    let id = text(&first["id"]);
    let path = format!("/v1/deployments/{id}/rollback");
    let back = |key: &str| t.call("POST", &path).token(&token).key(key).send();
    back("a").await.problem(409, "never_live");
    clouds::set(&t, "update deployments set status = 'live', deployed_at = 1 where id = $1", &id).await;
    back("b").await.problem(409, "already_live");
    clouds::set(&t, "update deployments set status = 'superseded' where id = $1", &id).await;

    // The app is another one by now.
    set("AT_RUN", "changed").await;
    set("NEW", "added").await;
    t.make_built(&token, &app).await;
    let port = json!({"port": 4000});
    t.call("PATCH", &format!("/v1/apps/{app}")).token(&token).body(port).send().await.ok(200);
    t.call("POST", &path).token(&stranger).send().await.problem(404, "not_found");
    let again = back("c").await.ok(202);
    for field in
        ["image_digest", "image_repository", "build_id", "port", "health_path", "domain", "server_id", "app_id"]
    {
        assert_eq!(again[field], first[field], "{field}");
    }
    assert_eq!((&again["sequence"], &again["status"]), (&json!(2), &json!("pending")));
    assert_ne!(again["id"], first["id"]);
    check_environment(&t, &client, &text(&again["id"])).await;
    assert_eq!(back("c").await.ok(202)["id"], again["id"], "the same request again");

    clouds::set(&t, "update deployments set status = 'deleted' where id = $1", &id).await;
    back("d").await.problem(409, "deployment_deleted");
    clouds::set(&t, "update deployments set status = 'superseded' where id = $1", &id).await;
    clouds::set(&t, "update servers set status = 'stopped' where id = $1", &server).await;
    back("e").await.problem(409, "server_not_usable");
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
        if operation.method == "get" && !operation.path.ends_with("/stream") {
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
async fn an_environment_is_bounded_and_stays_out_of_lists() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let ids = one_of_each(&t, &token).await;
    let set = async |name: &str, value: String, secret: bool| {
        let path = format!("/v1/apps/{}/env/{name}", ids["app_id"]);
        t.call("PUT", &path).token(&token).body(json!({"value": value, "secret": secret})).send().await
    };
    set("TOO_BIG", "x".repeat(64 * 1024 + 1), false).await.problem(422, "invalid_body");
    for name in ["A", "B", "C"] {
        set(name, "x".repeat(64 * 1024), false).await.ok(200);
    }
    // Bytes count, not characters; a sealed value counts as it is stored.
    set("D", "ü".repeat(32 * 1024), false).await.problem(409, "env_too_large");
    set("D", "x".repeat(60 * 1024), true).await.problem(409, "env_too_large");
    set("D", "x".repeat(40 * 1024), true).await.ok(200);
    set("D", "x".repeat(30 * 1024), true).await.ok(200);
    set("E", "x".repeat(40 * 1024), true).await.problem(409, "env_too_large");
    sql("update build_jobs set dockerfile = 'FROM scratch' where id = $1")
        .text(&ids["build_id"])
        .execute(&t.app.db)
        .await
        .expect("updated");
    sql("update deployments set compose = 'services: {}' where id = $1")
        .text(&ids["deployment_id"])
        .execute(&t.app.db)
        .await
        .expect("updated");
    for (list, item, field) in [
        (format!("/v1/apps/{}/builds", ids["app_id"]), format!("/v1/builds/{}", ids["build_id"]), "dockerfile"),
        ("/v1/deployments".into(), format!("/v1/deployments/{}", ids["deployment_id"]), "compose"),
    ] {
        let listed = t.get(&token, &list).await.ok(200)["items"][0].clone();
        let mut shown = t.get(&token, &item).await.ok(200);
        assert!(shown.as_object_mut().expect("an object").remove(field).is_some(), "{shown}");
        assert_eq!(listed, shown);
    }
    let client = "select client_id as v from deployments where id = $1";
    let client = sql(client).text(&ids["deployment_id"]).fetch_one(&t.app.db, |r| r.parse("v")).await.expect("a row");
    let rows = deployments::list(&t.app.db, client, deployments::Filter::default(), None, 10).await.expect("rows");
    assert!(rows.iter().all(|d| d.env_sealed.is_empty()), "a list reads environments");
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
