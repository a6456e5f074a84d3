//! Workers that die in the middle of a build, and what is left of them.

use std::{
    collections::HashMap,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use shared::{
    docker::ContainerSpec,
    domain::{AppId, BuildId, ClientId, component::BuildPart, status::BuildStatus},
    queue::{JobKind, NewJob, enqueue},
    store::{
        Db,
        builds::{self, Build, NewBuild},
        sql,
    },
    worksource::{BuildFailure, BuildHandler, BuildOrder, SourceError, StopReason, WorkSource},
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use worker_build::{Builder, remove_leftovers};

use crate::{
    environment::{Environment, dockerfile, environment},
    neighbour::Neighbour,
    report::Report,
};

/// A database with one build in its queue.
struct Queued {
    dir: TempDir,
    url: String,
    db: Db,
    client: ClientId,
    build: BuildId,
}

impl Queued {
    async fn new(client: ClientId, git_url: &str) -> Self {
        let dir = TempDir::new().expect("directory");
        let url = format!("sqlite:{}", dir.path().join("db").display());
        let db = Db::open(&url).await.expect("database");
        let (app, build) = (AppId::new(), BuildId::new());
        let mut tx = db.begin().await.expect("begin");
        let insert = sql("insert into clients (id, name, created_at) values ($1, 'c', 0)");
        insert.text(client).execute(&mut tx).await.expect("client");
        let insert = sql("insert into apps (id, client_id, slug, git_url, git_branch, created_at, updated_at)
                          values ($1, $2, 'a', $3, 'main', 0, 0)");
        insert.text(app).text(client).text(git_url).execute(&mut tx).await.expect("app");
        let job = enqueue(&mut tx, &db, &NewJob::new(JobKind::Build, build, client)).await.expect("enqueued").id();
        let (git_ref, parts) = ("main".into(), BuildPart::only_app());
        let new = NewBuild { id: build, client, app, job, git_ref, commit_sha: None, preview: false, parts };
        builds::insert(&mut tx, &new, db.now_ms()).await.expect("inserted");
        tx.commit().await.expect("commit");
        Self { dir, url, db, client, build }
    }

    async fn ended(&self) -> Build {
        let ended = async {
            loop {
                let build = builds::get(&self.db, self.client, self.build).await.expect("read").expect("build");
                if build.status.is_terminal() {
                    return build;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), ended).await.expect("an end in time")
    }
}

/// The worker's own binary.
struct Worker(Child);

impl Worker {
    fn start(env: &Environment, queued: &Queued) -> Self {
        let registry = &env.config.registry;
        let settings = [
            ("BYOP_DATABASE_URL", queued.url.clone()),
            ("BYOP_MASTER_KEY", STANDARD.encode([5; 32])),
            ("BYOP_REGISTRY", registry.host.clone()),
            ("BYOP_BUILD_IMAGE", env.config.image.clone()),
            ("BYOP_IMAGE_MIRROR", registry.mirror.clone().expect("mirror")),
            ("BYOP_BUILD_ENGINE", env.settings["BYOP_BUILD_ENGINE"].clone()),
            ("BYOP_BUILD_ALLOW_CIDRS", format!("{}/32", env.settings["BYOP_GATEWAY"])),
            ("BYOP_BUILD_DIR", env.config.work_dir.display().to_string()),
            ("BYOP_DEV_MODE", "1".to_owned()),
            ("BYOP_LEASE_S", "3".to_owned()),
            ("BYOP_LOG_FORMAT", "text".to_owned()),
            ("PATH", std::env::var("PATH").expect("PATH")),
        ];
        let log = std::fs::OpenOptions::new().create(true).append(true).open(queued.dir.path().join("log"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_worker-build"));
        command.env_clear().envs(HashMap::from(settings)).stdin(Stdio::null()).stderr(Stdio::null());
        Self(command.stdout(log.expect("log")).spawn().expect("worker"))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_in_mid_build_leaves_nothing_once_the_next_one_is_through() {
    let test = "a_worker_killed_in_mid_build_leaves_nothing_once_the_next_one_is_through";
    let Some(mut env) = environment(test).await else { return };
    // The step of the first attempt waits for ever, the one of the second goes on.
    let neighbour = Neighbour::start(&env.settings["BYOP_GATEWAY"], 1).await;
    let ask = format!(
        "RUN exec 3<>/dev/tcp/{} && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3",
        neighbour.address.replace(':', "/")
    );
    let text = dockerfile(&format!("SHELL [\"/bin/bash\", \"-c\"]\n{ask}"));
    env.forge.commit("app", &[("Dockerfile", &text)]);
    let queued = Queued::new(env.client(), &env.forge.url("app")).await;
    let label = format!("byop.build={}", queued.build);
    let containers = async || env.engine.list_containers(&[&label]).await.expect("list");
    let first = Worker::start(&env, &queued);
    neighbour.visited(1).await;
    drop(first);
    let left = containers().await;
    assert_eq!(left.len(), 1, "the dead worker's container");
    let second = Worker::start(&env, &queued);
    neighbour.visited(2).await;
    let now = containers().await;
    assert!(now.len() == 1 && now[0].id != left[0].id, "one container, and a new one: {now:?}");
    let build = queued.ended().await;
    let log = || std::fs::read_to_string(queued.dir.path().join("log")).unwrap_or_default();
    assert_eq!(build.status, BuildStatus::Success, "{:?}\n{}", build.error_message, log());
    // The status is written after the container is gone.
    assert!(containers().await.is_empty(), "a container is left");
    drop(second);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_cancelled_while_its_worker_was_dead_leaves_no_container() {
    let test = "a_build_cancelled_while_its_worker_was_dead_leaves_no_container";
    let Some(mut env) = environment(test).await else { return };
    let neighbour = Neighbour::start(&env.settings["BYOP_GATEWAY"], 1).await;
    let ask = format!("RUN exec 3<>/dev/tcp/{} && cat <&3", neighbour.address.replace(':', "/"));
    let text = dockerfile(&format!("SHELL [\"/bin/bash\", \"-c\"]\n{ask}"));
    env.forge.commit("app", &[("Dockerfile", &text)]);
    let queued = Queued::new(env.client(), &env.forge.url("app")).await;
    let label = format!("byop.build={}", queued.build);
    let containers = async || env.engine.list_containers(&[&label]).await.expect("list");
    let first = Worker::start(&env, &queued);
    neighbour.visited(1).await;
    drop(first);
    // The next one starts while the lease is still held, so its first look leaves the container alone.
    let second = Worker::start(&env, &queued);
    let mut tx = queued.db.begin().await.expect("begin");
    let build = builds::get(&queued.db, queued.client, queued.build).await.expect("read").expect("build");
    shared::queue::cancel(&mut tx, &queued.db, build.job).await.expect("cancelled");
    tx.commit().await.expect("commit");
    assert_eq!(queued.ended().await.status, BuildStatus::Cancelled);
    let gone = async {
        while !containers().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the container goes with the build");
    drop(second);
    remove_leftovers(&Builder::new(env.config.clone()), &Knows(queued.build)).await;
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_attempt_leaves_its_successor_alone() {
    let Some(mut env) = environment("a_late_attempt_leaves_its_successor_alone").await else { return };
    env.forge.commit("app", &[("Dockerfile", &dockerfile("RUN echo now-asleep && sleep 600"))]);
    let client = env.client();
    let late = env.order(client, "app");
    let current = BuildOrder { attempt: 2, ..late.clone() };
    let report = Arc::new(Report::default());
    let meanwhile = async {
        report.logged(" now-asleep").await;
        let (result, _) = env.build(&late).await;
        assert!(matches!(result, Err(BuildFailure::Stopped(StopReason::LeaseLost))), "{result:?}");
        assert_eq!(env.containers_of(&current).await, 1);
        report.stop(StopReason::Cancelled);
    };
    let (result, ()) = tokio::join!(env.build_with(&current, &report), meanwhile);
    assert!(matches!(result, Err(BuildFailure::Stopped(StopReason::Cancelled))), "{result:?}");
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_nobody_ends_ends_by_itself() {
    let Some(mut env) = environment("an_engine_that_nobody_ends_ends_by_itself").await else { return };
    let spec = ContainerSpec {
        name: format!("byop-test-{}", BuildId::new().0.as_simple()),
        image: env.config.image.clone(),
        env: vec![("BYOP_TIME_S".to_owned(), "3".to_owned())],
        labels: HashMap::from([("byop.client".to_owned(), env.client().to_string())]),
        privileged: true,
        ..ContainerSpec::default()
    };
    let id = env.engine.create_container(&spec).await.expect("container");
    env.engine.start_container(&id).await.expect("started");
    let ended = async {
        while env.engine.inspect_container(&id).await.expect("inspected").is_some_and(|s| s.running) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ended).await.expect("an end");
    env.engine.remove_container(&id).await.expect("removed");
    env.finish().await;
}

/// A source that knows one build, which is over.
struct Knows(BuildId);

#[async_trait]
impl WorkSource for Knows {
    async fn run(&self, _: Arc<dyn BuildHandler>, _: CancellationToken) -> Result<(), SourceError> {
        Ok(())
    }

    async fn is_running(&self, build: BuildId, _: i64) -> Result<bool, SourceError> {
        Ok(build != self.0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_removes_what_is_over_and_no_other_installations_builds() {
    let test = "a_start_removes_what_is_over_and_no_other_installations_builds";
    let Some(mut env) = environment(test).await else { return };
    let client = env.client();
    let (over, foreign, expired) = (BuildId::new(), BuildId::new(), BuildId::new());
    for (build, until) in [(over, "9999999999"), (foreign, "9999999999"), (expired, "1")] {
        let labels = [
            ("byop.build", build.to_string()),
            ("byop.attempt", "1".to_owned()),
            ("byop.client", client.to_string()),
            ("byop.until", until.to_owned()),
        ];
        let spec = ContainerSpec {
            name: format!("byop-test-{}", build.0.as_simple()),
            image: env.config.image.clone(),
            labels: labels.map(|(k, v)| (k.to_owned(), v)).into(),
            ..ContainerSpec::default()
        };
        env.engine.create_container(&spec).await.expect("container");
    }
    remove_leftovers(&Builder::new(env.config.clone()), &Knows(over)).await;
    let label = format!("byop.client={client}");
    let left = env.engine.list_containers(&[&label]).await.expect("list");
    let names: Vec<_> = left.iter().map(|c| c.name.clone()).collect();
    assert_eq!(names, [format!("byop-test-{}", foreign.0.as_simple())]);
    env.engine.remove_container(&names[0]).await.expect("removed");
    env.finish().await;
}
