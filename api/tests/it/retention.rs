//! Images that left the registry: what the API says of them, and a real registry that removes them.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared::{
    domain::{AppId, ClientId, component::BuildPart, retention::Rule},
    queue::{Handler, Job, JobError, JobKind, Lease, NewJob, enqueue},
    store::{
        apps::repository,
        image_removals::{self, Of, Turn},
        registry_grants::GrantActions,
        sql,
    },
    worksource::BuildOutcome,
};
use worker_build::retention::{self, RegistryError, RetentionWorker, Settings};

use crate::{
    fixture::{Fixture, Reply, text},
    registry::{Registry, ask, grant},
    replay::{give_up, image, local, replay, work},
};

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const HELLO: (&str, &str) = ("hello", "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");

/// An app of a client that has a server.
struct Scene {
    t: Fixture,
    token: String,
    app: String,
    server: String,
    of: Of,
}

impl Scene {
    async fn start() -> Self {
        let t = Fixture::start().await;
        let made = t.sign_up().await;
        let token = text(&made["tokens"]["access_token"]);
        let (app, customer) = (t.make_app(&token).await, t.make_customer(&token).await);
        let server = t.make_server(&token, &customer).await;
        let client: ClientId = text(&made["client_id"]).parse().expect("an id");
        let of = Of { client, app: app.parse::<AppId>().expect("an id") };
        Self { t, token, app, server, of }
    }

    /// A build of long ago that made this image.
    async fn build(&self, made: BuildOutcome) -> String {
        let id = self.t.make(&self.token, &format!("/v1/apps/{}/builds", self.app), json!({})).await;
        work(&self.t, JobKind::Build, local(&self.t, vec![Ok(vec![made])]), &id, "succeeded").await;
        let old = sql("update build_jobs set finished_at = 1 where id = $1").text(&id);
        old.execute(&self.t.app.db).await.expect("updated");
        id
    }

    async fn shown(&self, build: &str) -> Value {
        self.t.get(&self.token, &format!("/v1/builds/{build}")).await.ok(200)
    }

    async fn deploy(&self, what: Value) -> Reply {
        let mut request = json!({"server_id": self.server, "domain": "shop.example.com"});
        request.as_object_mut().expect("an object").extend(what.as_object().expect("an object").clone());
        self.t.post(&self.token, &format!("/v1/apps/{}/deployments", self.app), request).await
    }

    async fn set_status(&self, deployment: &str, status: &str) {
        sql("update deployments set status = $1, deployed_at = 1 where id = $2")
            .text(status)
            .text(deployment)
            .execute(&self.t.app.db)
            .await
            .expect("updated");
    }

    /// Decides about images as a worker does that was killed right after.
    async fn decide(&self, rule: &Rule) -> Turn {
        let db = &self.t.app.db;
        let mut tx = db.begin().await.expect("begun");
        let turn = image_removals::begin(&mut tx, db, self.of, rule, Duration::ZERO).await.expect("decided");
        tx.commit().await.expect("committed");
        turn.expect("no build is in the way")
    }

    /// One run of the worker that looks after the registry.
    async fn sweep(&self, registry: &Registry) {
        let db = &self.t.app.db;
        let mut tx = db.begin().await.expect("begun");
        let new = NewJob::retention();
        let id = enqueue(&mut tx, db, &new).await.expect("enqueued").id();
        tx.commit().await.expect("committed");
        sql("update jobs set state = 'running', attempt = 1, lease_owner = 't', lease_until = 0 where id = $1")
            .text(id)
            .execute(db)
            .await
            .expect("claimed");
        sql("update apps set images_swept_at = null").execute(db).await.expect("updated");
        let NewJob { kind, subject, client, timeout, .. } = new;
        let (lease, _stop) = Lease::detached(Job { id, kind, subject, client, attempt: 1, max_attempts: 3, timeout });
        let settings =
            Settings { rule: rule(), every: Duration::from_secs(3600), registry: registry.url.clone(), ca_file: None };
        let worker = RetentionWorker::new(db.clone(), &settings).expect("a worker");
        let ran = worker.run(&lease).await;
        assert!(matches!(ran, Err(JobError::Later(_))), "{ran:?}");
        let grants = sql("select count(*) as n from registry_grants where subject like 'retention:%'");
        assert_eq!(grants.fetch_one(db, |r| r.int("n")).await.expect("counted"), 0, "no grant is left");
    }
}

fn rule() -> Rule {
    Rule { releases: 1, builds: 1, age: Duration::from_secs(24 * 3600) }
}

#[tokio::test]
async fn an_image_that_was_removed_is_not_deployed() {
    let s = Scene::start().await;
    let first = s.build(image(BuildPart::App, 1)).await;
    let deployed = text(&s.deploy(json!({})).await.ok(202)["id"]);
    let second = s.build(image(BuildPart::App, 2)).await;
    let next = text(&s.deploy(json!({})).await.ok(202)["id"]);
    for (deployment, status) in [(&deployed, "live"), (&next, "deleted")] {
        s.set_status(deployment, status).await;
    }
    assert!(s.decide(&Rule { releases: 0, ..rule() }).await.images.is_empty(), "it is live");
    s.set_status(&deployed, "superseded").await;
    assert!(s.decide(&rule()).await.images.is_empty(), "it can be gone back to");
    let turn = s.decide(&Rule { releases: 0, ..rule() }).await;
    let digest = format!("sha256:{:064}", 1);
    let decided: Vec<_> = turn.images.iter().map(ToString::to_string).collect();
    assert_eq!(decided, std::slice::from_ref(&digest));

    let shown = s.shown(&first).await;
    assert!(shown["image_removed_at"].is_string() && shown["images"][0]["removed_at"].is_string(), "{shown}");
    assert!(s.shown(&second).await.get("image_removed_at").is_none());
    let listed = s.t.get(&s.token, "/v1/builds").await.ok(200);
    assert_eq!(listed["items"][1]["image_removed_at"], shown["image_removed_at"]);
    for what in [json!({"build_id": first}), json!({"image_digest": digest})] {
        s.deploy(what).await.problem(409, "image_removed");
    }
    s.t.post(&s.token, &format!("/v1/deployments/{deployed}/rollback"), json!({})).await.problem(409, "image_removed");
    s.set_status(&deployed, "failed").await;
    let job = give_up(&s.t, &deployed).await;
    replay(&s.t, &job).await.problem(409, "image_removed");

    // The next build makes the very same image.
    s.build(image(BuildPart::App, 1)).await;
    let shown = s.shown(&first).await;
    assert!(shown.get("image_removed_at").is_none() && shown["images"][0].get("removed_at").is_none(), "{shown}");
    s.deploy(json!({"build_id": first})).await.ok(202);
    // Nobody tries a release of an app again that was deleted.
    sql("update deployments set status = 'failed'").execute(&s.t.app.db).await.expect("updated");
    s.t.call("DELETE", &format!("/v1/apps/{}", s.app)).token(&s.token).send().await.ok(204);
    replay(&s.t, &job).await.problem(409, "nothing_to_replay");
    s.t.close().await;
}

/// A manifest that differs from others by its number only.
fn manifest(number: usize) -> (String, String) {
    let config = json!({"mediaType": "application/vnd.docker.container.image.v1+json", "size": HELLO.0.len(),
                        "digest": HELLO.1});
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []});
    let body = format!("{manifest}{}", " ".repeat(number));
    let digest = format!("sha256:{}", hex(&Sha256::digest(body.as_bytes())));
    (body, digest)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl Scene {
    async fn registry_token(&self, actions: GrantActions, scope: &str) -> String {
        let repo = repository(self.of.client, self.of.app);
        let grant = grant(&self.t, self.of.client, &repo, actions, "build:x").await;
        text(&ask(&self.t, &grant, &format!("repository:{repo}:{scope}")).await.ok(200)["token"])
    }

    /// Pushes an image, and records the build that made it.
    async fn pushed(&self, registry: &Registry, number: usize) -> (String, String) {
        let (body, digest) = manifest(number);
        let (repo, tag) = (repository(self.of.client, self.of.app), format!("t{number}"));
        let token = self.registry_token(GrantActions::PullPush, "pull,push").await;
        registry.push(&token, &repo, HELLO.0, HELLO.1).await;
        let put = reqwest::Client::new().put(format!("{}/v2/{repo}/manifests/{tag}", registry.url));
        let put = put.bearer_auth(&token).header(CONTENT_TYPE, MANIFEST).body(body).send().await.expect("an answer");
        assert_eq!(put.status(), 201, "{:?}", put.text().await);
        let made = BuildOutcome { repository: repo, tag, digest: digest.clone(), ..image(BuildPart::App, 1) };
        (self.build(made).await, digest)
    }

    /// What a registry answers who pulls this, by digest or tag.
    async fn pull(&self, registry: &Registry, reference: &str) -> u16 {
        let url = format!("{}/v2/{}/manifests/{reference}", registry.url, repository(self.of.client, self.of.app));
        let token = self.registry_token(GrantActions::Pull, "pull").await;
        let get = reqwest::Client::new().get(url).bearer_auth(token).header("accept", MANIFEST);
        get.send().await.expect("an answer").status().as_u16()
    }

    async fn delete(&self, registry: &Registry, token: &str, digest: &str) -> u16 {
        let url = format!("{}/v2/{}/manifests/{digest}", registry.url, repository(self.of.client, self.of.app));
        reqwest::Client::new().delete(url).bearer_auth(token).send().await.expect("an answer").status().as_u16()
    }
}

#[tokio::test]
async fn a_real_registry_loses_what_nobody_needs_and_nothing_else() {
    let s = Scene::start().await;
    let test = "a_real_registry_loses_what_nobody_needs_and_nothing_else";
    let Some(registry) = Registry::start(&s.t, ", delete: {enabled: true}", test).await else { return };
    let mut made = Vec::new();
    for number in 0..4 {
        made.push(s.pushed(&registry, number).await);
        if number == 1 {
            let live = text(&s.deploy(json!({})).await.ok(202)["id"]);
            s.set_status(&live, "live").await;
        }
    }
    // Who may push may not delete, and a right to delete is for nothing else.
    let push = s.registry_token(GrantActions::PullPush, "pull,push,delete").await;
    assert_eq!(s.delete(&registry, &push, &made[0].1).await, 401);
    let delete = s.registry_token(GrantActions::Delete, "pull,push,delete").await;
    let (body, _) = manifest(9);
    let repo = repository(s.of.client, s.of.app);
    let put = reqwest::Client::new().put(format!("{}/v2/{repo}/manifests/x", registry.url)).bearer_auth(&delete);
    assert_eq!(put.header(CONTENT_TYPE, MANIFEST).body(body).send().await.expect("an answer").status(), 401);

    // One was decided about before, and its worker killed when the registry had removed it.
    s.decide(&Rule { builds: 3, ..rule() }).await;
    sql("update image_removals set held_until = 1").execute(&s.t.app.db).await.expect("updated");
    assert_eq!(s.delete(&registry, &delete, &made[0].1).await, 202);
    s.sweep(&registry).await;
    let mut pulled = Vec::new();
    for (_, digest) in &made {
        pulled.push(s.pull(&registry, digest).await);
    }
    assert_eq!(pulled, [404, 200, 404, 200]);
    assert_eq!(s.pull(&registry, "t2").await, 404, "its tag is gone too");
    let removed = sql("select count(*) as n from image_removals where removed_at is not null");
    assert_eq!(removed.fetch_one(&s.t.app.db, |r| r.int("n")).await.expect("counted"), 2);
    assert!(s.shown(&made[2].0).await["image_removed_at"].is_string());
    s.deploy(json!({"build_id": made[2].0})).await.problem(409, "image_removed");
    // What was built again is there again, and is the current image.
    let (again, digest) = s.pushed(&registry, 2).await;
    s.sweep(&registry).await;
    assert_eq!(s.pull(&registry, &digest).await, 200);
    s.deploy(json!({"build_id": again})).await.ok(202);
    drop(registry);
    s.t.close().await;
}

#[tokio::test]
async fn a_registry_that_allows_no_deletion_keeps_all_images() {
    let s = Scene::start().await;
    let test = "a_registry_that_allows_no_deletion_keeps_all_images";
    let Some(registry) = Registry::start(&s.t, "", test).await else { return };
    let (first, digest) = s.pushed(&registry, 0).await;
    s.pushed(&registry, 1).await;
    let repo = repository(s.of.client, s.of.app);
    let (user, password) = grant(&s.t, s.of.client, &repo, GrantActions::Delete, "build:y").await;
    let asked = retention::Registry::new(&registry.url, None).expect("a client");
    let session = asked.log_in(&repo, &user, &password).await.expect("a session");
    assert!(matches!(session.check().await, Err(RegistryError::NotAllowed)));
    s.sweep(&registry).await;
    assert_eq!(s.pull(&registry, &digest).await, 200);
    assert!(s.shown(&first).await.get("image_removed_at").is_none());
    s.deploy(json!({"build_id": first})).await.ok(202);
    drop(registry);
    s.t.close().await;
}
