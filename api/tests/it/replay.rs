//! Jobs that were given up by a real worker, replayed: they run again, and what they work on begins again.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};
use shared::{
    domain::{
        BuildId, DeploymentId, ServerId,
        component::BuildPart,
        status::{DeploymentStatus, ServerStatus},
    },
    queue::{self, Handler, Job, JobError, JobKind, Lease, WorkerConfig},
    store::{Db, deployments, servers, sql, status_events},
    worksource::{
        BuildFailure, BuildHandler, BuildOrder, BuildOutcome, BuildPlan, BuildReport, FailureCode, Stage,
        local::LocalHandler,
    },
};
use tokio_util::sync::CancellationToken;

use crate::{
    fixture::{Fixture, OPERATOR, Reply, text},
    walk::one_of_each,
};

/// Makes nothing; answers each build with the next result.
struct Scripted(Mutex<Vec<Result<Vec<BuildOutcome>, BuildFailure>>>);

#[async_trait]
impl BuildHandler for Scripted {
    async fn build(&self, order: BuildOrder, report: Arc<dyn BuildReport>) -> Result<Vec<BuildOutcome>, BuildFailure> {
        report.stage(Stage::Fetching).await?;
        if order.preview {
            let failure = self.0.lock().expect("lock").pop().and_then(Result::err);
            let outcome = if failure.is_some() { "ambiguous" } else { "found" };
            report.found(json!({"outcome": outcome, "candidates": [{"stack": "node"}]}).to_string()).await?;
            if let Some(failure) = failure {
                return Err(failure);
            }
            report.plan(found()).await?;
            return Ok(Vec::new());
        }
        report.stage(Stage::Building).await?;
        report.stage(Stage::Pushing).await?;
        self.0.lock().expect("lock").remove(0)
    }

    async fn abandoned(&self, _: BuildId, _: i64) {}
}

/// In place of the workers of servers and deployments: takes the first step as they do, and gives up as they do.
struct FirstStep {
    db: Db,
    fails: bool,
}

#[async_trait]
impl Handler for FirstStep {
    async fn run(&self, lease: &Lease) -> Result<(), JobError> {
        let (id, fence) = (lease.job.subject, lease.fence());
        let mut tx = self.db.begin().await.map_err(JobError::transient)?;
        let moved = match lease.job.kind {
            JobKind::Provision => {
                servers::advance(&mut tx, &self.db, fence, ServerId(id), ServerStatus::Creating, None).await
            }
            _ => {
                let to = DeploymentStatus::Preparing;
                deployments::advance(&mut tx, &self.db, fence, DeploymentId(id), to, None).await
            }
        };
        assert!(moved.map_err(JobError::transient)?, "the first step is not allowed");
        tx.commit().await.map_err(JobError::transient)?;
        if self.fails { Err(JobError::transient("no luck")) } else { Ok(()) }
    }

    async fn abandoned(&self, job: &Job, _state: &str, reason: &str) -> Result<(), JobError> {
        let mut tx = self.db.begin().await.map_err(JobError::transient)?;
        let failed = match job.kind {
            JobKind::Provision => {
                let (id, to) = (ServerId(job.subject), ServerStatus::Failed);
                servers::fail_unfenced(&mut tx, &self.db, id, to, "gave_up", reason).await
            }
            _ => {
                let (id, to) = (DeploymentId(job.subject), DeploymentStatus::Failed);
                deployments::fail_unfenced(&mut tx, &self.db, id, to, "gave_up", reason).await
            }
        };
        failed.map_err(JobError::transient)?;
        tx.commit().await.map_err(JobError::transient)
    }
}

/// Works until the newest job on `subject` has ended in `state` and the handler was told; that job's id.
pub async fn work(t: &Fixture, kind: JobKind, handler: Arc<dyn Handler>, subject: &str, state: &str) -> String {
    let mut worker = WorkerConfig::new(kind);
    worker.backoff.base = Duration::from_millis(10);
    let stop = CancellationToken::new();
    let ended = async {
        let ended = "select id from jobs where subject_id = $1 and state = $2 and abandoned = 0 order by id desc";
        loop {
            let job = sql(ended).text(subject).text(state).fetch_optional(&t.app.db, |r| r.text("id")).await;
            if let Some(job) = job.expect("read") {
                stop.cancel();
                return job;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let worked = queue::work(t.app.db.clone(), worker, handler, stop.clone());
    let both = async { tokio::join!(worked, ended) };
    let (worked, job) = tokio::time::timeout(Duration::from_secs(60), both).await.expect("in time");
    worked.expect("worked");
    job
}

pub async fn replay(t: &Fixture, job: &str) -> Reply {
    t.call("POST", &format!("/v1/operator/jobs/{job}/replay")).token(OPERATOR).send().await
}

async fn statuses(t: &Fixture, client: &str, entity: status_events::Entity, id: &str) -> Vec<String> {
    let (client, id) = (client.parse().expect("an id"), id.parse::<uuid::Uuid>().expect("an id"));
    let events = status_events::list(&t.app.db, client, entity, id).await.expect("events");
    events.into_iter().map(|e| e.status).collect()
}

fn found() -> BuildPlan {
    BuildPlan {
        stack: "node".into(),
        dockerfile: "FROM node:24-slim AS build".into(),
        port: Some(3000),
        health_path: None,
        compose: Some("services: {}".into()),
    }
}

#[tokio::test]
async fn a_source_is_looked_at_without_an_image() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let app = t.make_app(&token).await;
    let detect = format!("/v1/apps/{app}/detect");
    let asked = t.post(&token, &detect, json!({})).await.ok(202);
    assert_eq!((&asked["preview"], &asked["already_active"]), (&json!(true), &json!(false)));
    assert_eq!(t.post(&token, &detect, json!({})).await.ok(202)["id"], asked["id"]);
    // A build of the same branch is another thing.
    let build = t.make(&token, &format!("/v1/apps/{app}/builds"), json!({})).await;
    t.call("POST", &format!("/v1/builds/{build}/cancel")).token(&token).send().await.ok(202);
    let id = text(&asked["id"]);
    work(&t, JobKind::Build, local(&t, Vec::new()), &id, "succeeded").await;
    let seen = t.get(&token, &format!("/v1/builds/{id}")).await.ok(200);
    assert_eq!((&seen["status"], seen.get("image_digest")), (&json!("success"), None));
    assert_eq!((&seen["report"]["outcome"], &seen["compose"]), (&json!("found"), &json!("services: {}")));
    assert_eq!(seen["dockerfile"], "FROM node:24-slim AS build");
    let customer = t.make_customer(&token).await;
    let server = t.make_server(&token, &customer).await;
    let release = json!({"server_id": server, "build_id": id, "domain": "preview.example.com"});
    t.post(&token, &format!("/v1/apps/{app}/deployments"), release).await.problem(409, "build_is_preview");
    let listed = t.get(&token, &format!("/v1/apps/{app}/builds")).await.ok(200);
    assert!(listed["items"].as_array().expect("items").iter().all(|build| build.get("report").is_none()));
    t.close().await;
}

#[tokio::test]
async fn a_source_that_cannot_be_built_is_told_with_all_that_was_found() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let app = t.make_app(&token).await;
    let id = text(&t.post(&token, &format!("/v1/apps/{app}/detect"), json!({})).await.ok(202)["id"]);
    let failure = BuildFailure::permanent(FailureCode::NotDetected, "two lock files");
    work(&t, JobKind::Build, local(&t, vec![Err(failure)]), &id, "failed").await;
    let seen = t.get(&token, &format!("/v1/builds/{id}")).await.ok(200);
    assert_eq!((&seen["status"], &seen["error_code"]), (&json!("failed"), &json!("not_detected")));
    assert_eq!(seen["report"], json!({"outcome": "ambiguous", "candidates": [{"stack": "node"}]}));
    assert_eq!((seen.get("dockerfile"), seen.get("compose")), (None, None));
    t.close().await;
}

/// An image whose digest is a number.
pub fn image(part: BuildPart, digest: u64) -> BuildOutcome {
    let port = 3000 + u16::try_from(digest).expect("a small number");
    let (repository, tag, digest) = ("c/a".into(), format!("t{digest}"), format!("sha256:{digest:064}"));
    BuildOutcome { part, repository, tag, digest, stack: "node".into(), port: Some(port), health_path: None }
}

pub fn local(t: &Fixture, results: Vec<Result<Vec<BuildOutcome>, BuildFailure>>) -> Arc<dyn Handler> {
    Arc::new(LocalHandler {
        db: t.app.db.clone(),
        key: t.app.config.master_key.clone(),
        max_log_bytes: 1000,
        handler: Arc::new(Scripted(Mutex::new(results))),
    })
}

#[tokio::test]
async fn a_failed_build_is_built_again() {
    let t = Fixture::start().await;
    let made = t.sign_up().await;
    let token = text(&made["tokens"]["access_token"]);
    let app = t.make_app(&token).await;
    let builds = format!("/v1/apps/{app}/builds");
    let build = t.make(&token, &builds, json!({})).await;
    let full = BuildFailure::permanent(FailureCode::DiskFull, "the disk is full");
    let job = work(&t, JobKind::Build, local(&t, vec![Err(full)]), &build, "failed").await;
    let path = format!("/v1/builds/{build}");
    assert_eq!(t.get(&token, &path).await.ok(200)["error_code"], "disk_full");

    // While a newer build of the same branch is wanted, the old one stays as it is.
    let newer = t.make(&token, &builds, json!({})).await;
    replay(&t, &job).await.problem(409, "already_active");
    assert_eq!(t.get(&token, &path).await.ok(200)["status"], "failed");
    t.call("POST", &format!("/v1/builds/{newer}/cancel")).token(&token).send().await.ok(202);

    assert_eq!(replay(&t, &job).await.ok(202)["state"], "queued");
    let pending = t.get(&token, &path).await.ok(200);
    assert_eq!((&pending["status"], pending.get("error_code")), (&json!("pending"), None));
    work(&t, JobKind::Build, local(&t, vec![Ok(vec![image(BuildPart::App, 1)])]), &build, "succeeded").await;
    assert_eq!(t.get(&token, &path).await.ok(200)["status"], "success");
    let seen = statuses(&t, &text(&made["client_id"]), status_events::Entity::Build, &build).await;
    assert_eq!(seen[4..6], ["failed", "pending"]);
    replay(&t, &job).await.problem(409, "not_dead");
    t.close().await;
}

#[tokio::test]
async fn a_dead_server_and_a_dead_deployment_begin_again() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let ids = one_of_each(&t, &token).await;
    let handler = |fails| Arc::new(FirstStep { db: t.app.db.clone(), fails });
    for (kind, id, path, first) in [
        (JobKind::Provision, &ids["server_id"], "/v1/servers", ("requested", "creating")),
        (JobKind::Deploy, &ids["deployment_id"], "/v1/deployments", ("pending", "preparing")),
    ] {
        let path = format!("{path}/{id}");
        let job = work(&t, kind, handler(true), id, "dead").await;
        let failed = t.get(&token, &path).await.ok(200);
        assert_eq!((&failed["status"], &failed["error_code"]), (&json!("failed"), &json!("gave_up")));
        let replayed = replay(&t, &job).await;
        assert_eq!(replayed.ok(202)["state"], "queued");
        assert_eq!(replayed.header("location"), Some(format!("/v1/operator/jobs/{job}").as_str()));
        let again = t.get(&token, &path).await.ok(200);
        assert_eq!((&again["status"], again.get("error_code")), (&json!(first.0), None));
        work(&t, kind, handler(false), id, "succeeded").await;
        assert_eq!(t.get(&token, &path).await.ok(200)["status"], first.1);
    }
    t.close().await;
}

/// Leaves a job as a worker that gave up leaves it.
pub async fn give_up(t: &Fixture, subject: &str) -> String {
    sql("update jobs set state = 'dead', attempt = 3, finished_at = 1, abandoned = 0 where subject_id = $1 returning id")
        .text(subject)
        .fetch_one(&t.app.db, |r| r.text("id"))
        .await
        .expect("a job")
}

async fn set_status(t: &Fixture, table: &str, id: &str, status: &str) {
    let set = match table {
        "servers" => "update servers set status = $1 where id = $2",
        _ => "update deployments set status = $1 where id = $2",
    };
    sql(set).text(status).text(id).execute(&t.app.db).await.expect("updated");
}

#[tokio::test]
async fn what_has_ended_well_or_was_overtaken_is_not_replayed() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let ids = one_of_each(&t, &token).await;
    let server = give_up(&t, &ids["server_id"]).await;
    set_status(&t, "servers", &ids["server_id"], "ready").await;
    replay(&t, &server).await.problem(409, "nothing_to_replay");
    let job = give_up(&t, &ids["deployment_id"]).await;
    set_status(&t, "deployments", &ids["deployment_id"], "superseded").await;
    replay(&t, &job).await.problem(409, "nothing_to_replay");
    assert_eq!(t.get(OPERATOR, &format!("/v1/operator/jobs/{job}")).await.ok(200)["state"], "dead");

    set_status(&t, "deployments", &ids["deployment_id"], "failed").await;
    let shown = t.get(&token, &format!("/v1/deployments/{}", ids["deployment_id"])).await.ok(200);
    let deploy = |app: &str, domain: &Value| {
        let request = json!({"server_id": ids["server_id"], "domain": domain});
        let path = format!("/v1/apps/{app}/deployments");
        let (t, token) = (&t, &token);
        async move { t.make(token, &path, request).await }
    };
    let newer = deploy(&ids["app_id"], &json!("newer.example.com")).await;
    set_status(&t, "deployments", &newer, "live").await;
    replay(&t, &job).await.problem(409, "outdated");
    set_status(&t, "deployments", &newer, "deleted").await;
    let other = t.make_app(&token).await;
    t.make_built(&token, &other).await;
    let holder = deploy(&other, &shown["domain"]).await;
    replay(&t, &job).await.problem(409, "domain_taken");
    set_status(&t, "deployments", &holder, "failed").await;
    replay(&t, &job).await.ok(202);
    t.close().await;
}

#[tokio::test]
async fn an_end_that_was_given_up_is_asked_for_again() {
    let t = Fixture::start().await;
    let token = t.client().await;
    let ids = one_of_each(&t, &token).await;
    let queued = async |subject: &str| {
        let count = "select count(*) as n from jobs where subject_id = $1 and state = 'queued'";
        sql(count).text(subject).fetch_one(&t.app.db, |r| r.int("n")).await.expect("a count")
    };
    let deployment = &ids["deployment_id"];
    let path = format!("/v1/deployments/{deployment}");
    let act = |method: &'static str, path: String| {
        let call = t.call(method, &path).token(&token);
        async move { call.send().await.ok(202) }
    };
    give_up(&t, deployment).await;
    set_status(&t, "deployments", deployment, "live").await;
    for (method, path, desired) in [("POST", format!("{path}/stop"), "stopped"), ("DELETE", path.clone(), "deleted")] {
        assert_eq!(act(method, path.clone()).await["desired"], desired);
        assert_eq!(queued(deployment).await, 1);
        act(method, path.clone()).await;
        assert_eq!(queued(deployment).await, 1, "one job is enough");
        give_up_all(&t, deployment).await;
        act(method, path.clone()).await;
        assert_eq!(queued(deployment).await, 1, "nobody works on it any more");
    }
    let server = &ids["server_id"];
    let path = format!("/v1/servers/{server}");
    give_up(&t, server).await;
    act("DELETE", path.clone()).await;
    give_up_all(&t, server).await;
    set_status(&t, "servers", server, "stuck").await;
    let reply = t.call("DELETE", &path).token(&token).send().await;
    assert_eq!(reply.ok(202)["deleting"], true);
    assert_eq!(reply.header("location"), Some(path.as_str()));
    assert_eq!(queued(server).await, 1);
    // The worker may go on from there.
    assert!(ServerStatus::Stuck.may_become(ServerStatus::Deleting));
    set_status(&t, "servers", server, "deleted").await;
    give_up_all(&t, server).await;
    act("DELETE", path).await;
    assert_eq!(queued(server).await, 0);
    t.close().await;
}

async fn give_up_all(t: &Fixture, subject: &str) {
    sql("update jobs set state = 'dead', finished_at = 1 where subject_id = $1")
        .text(subject)
        .execute(&t.app.db)
        .await
        .expect("updated");
}
