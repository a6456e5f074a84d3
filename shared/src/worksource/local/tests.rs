//! A build's way through the queue and the store, with a handler in place of the engine.

use std::sync::Mutex;

use super::*;
use crate::{
    domain::{
        AppId, ClientId,
        component::{BuildPart, BuildSource},
    },
    queue::{JobKind, NewJob, enqueue},
    store::{
        builds::NewBuild,
        log_segments::{self, Appended, LogTarget},
        scratch::Scratch,
        sql, status_events,
    },
    worksource::{BuildPlan, BuildReport, Stage},
};

crate::on_both_databases! {
    a_build_that_succeeds_on_its_second_attempt,
    a_build_keeps_its_parts_and_has_an_image_of_each,
    a_late_attempt_leaves_no_images,
    a_push_waits_for_a_removal_of_the_apps_images,
    a_build_from_before_there_were_parts_has_its_own_image,
    a_preview_leaves_the_current_image,
    only_a_live_attempt_of_a_known_build_runs,
    failures_keep_their_code_and_leave_the_current_image,
    a_log_is_bounded_and_says_so_and_only_its_holder_writes,
    the_forges_own_host_keys_are_read_however_many_there_are,
}

struct Scene {
    db: Db,
    client: ClientId,
    app: AppId,
}

/// Answers each build with the next result, after it went through every stage.
struct Scripted(Mutex<Vec<Result<Vec<BuildOutcome>, BuildFailure>>>);

#[async_trait]
impl BuildHandler for Scripted {
    async fn build(&self, order: BuildOrder, report: Arc<dyn BuildReport>) -> Result<Vec<BuildOutcome>, BuildFailure> {
        report.stage(Stage::Fetching).await?;
        report.commit(&"a".repeat(40)).await?;
        report.log(vec![format!("attempt {} of {}", order.attempt, order.git_ref), "second line".into()]).await;
        if order.preview {
            report.found("{}".into()).await?;
            if let Some(failure) = self.0.lock().expect("lock").pop().and_then(Result::err) {
                return Err(failure);
            }
            report.plan(plan()).await?;
            return Ok(Vec::new());
        }
        report.stage(Stage::Building).await?;
        report.log(vec!["third line".into()]).await;
        report.stage(Stage::Pushing).await?;
        assert!(!report.push_credentials().await?.user.is_empty());
        if order.parts.len() > 1 {
            report.log(vec![order.parts.iter().map(BuildPart::words).collect::<Vec<_>>().join(", ")]).await;
        }
        self.0.lock().expect("lock").remove(0)
    }

    async fn abandoned(&self, _: BuildId, _: i64) {}
}

fn plan() -> BuildPlan {
    BuildPlan {
        stack: "node".into(),
        dockerfile: "FROM x".into(),
        port: Some(3000),
        health_path: None,
        compose: Some("services: {}".into()),
    }
}

fn image(digest: &str) -> Vec<BuildOutcome> {
    vec![image_of(BuildPart::App, digest)]
}

fn image_of(part: BuildPart, digest: &str) -> BuildOutcome {
    BuildOutcome {
        part,
        repository: "c/a".into(),
        tag: format!("t-{digest}"),
        digest: format!("sha256:{digest}"),
        stack: "node".into(),
        port: Some(3000),
        health_path: None,
    }
}

fn source(directory: &str) -> BuildPart {
    BuildPart::Source(BuildSource { base_directory: directory.parse().expect("a path"), dockerfile_path: None })
}

async fn scene(scratch: &Scratch) -> Scene {
    let db = scratch.db.clone();
    let (client, app) = (ClientId::new(), AppId::new());
    let mut tx = db.begin().await.expect("begin");
    let insert = sql("insert into clients (id, name, created_at) values ($1, 'c', 0)");
    insert.text(client).execute(&mut tx).await.expect("client");
    sql("insert into apps (id, client_id, slug, git_url, git_branch, created_at, updated_at)
         values ($1, $2, 'a', 'https://git.example.com/a/b', 'main', 0, 0)")
    .text(app)
    .text(client)
    .execute(&mut tx)
    .await
    .expect("app");
    tx.commit().await.expect("commit");
    Scene { db, client, app }
}

impl Scene {
    async fn request(&self) -> BuildId {
        self.asked(false).await
    }

    async fn asked(&self, preview: bool) -> BuildId {
        self.asked_for(BuildPart::only_app(), preview).await
    }

    async fn asked_for(&self, parts: Vec<BuildPart>, preview: bool) -> BuildId {
        let id = BuildId::new();
        let mut tx = self.db.begin().await.expect("begin");
        let job = NewJob::new(JobKind::Build, id, self.client);
        let job = enqueue(&mut tx, &self.db, &job).await.expect("enqueued").id();
        let (client, app) = (self.client, self.app);
        let new = NewBuild { id, client, app, job, git_ref: "main".into(), commit_sha: None, preview, parts };
        builds::insert(&mut tx, &new, self.db.now_ms()).await.expect("inserted");
        tx.commit().await.expect("commit");
        id
    }

    /// Runs the queue until the build has ended.
    async fn run(&self, id: BuildId, results: Vec<Result<Vec<BuildOutcome>, BuildFailure>>) -> Build {
        let mut worker = WorkerConfig::new(JobKind::Build);
        worker.backoff.base = Duration::from_millis(10);
        let key = MasterKey::new(&[7; 32]).expect("key");
        let source = LocalSource { db: self.db.clone(), key, worker, max_log_bytes: 1000 };
        let stop = CancellationToken::new();
        let ended = async {
            loop {
                let build = builds::get(&self.db, self.client, id).await.expect("read").expect("build");
                if build.status.is_terminal() {
                    stop.cancel();
                    return build;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        let worked = source.run(Arc::new(Scripted(Mutex::new(results))), stop.clone());
        let both = async { tokio::join!(worked, ended) };
        let (worked, build) = tokio::time::timeout(Duration::from_secs(60), both).await.expect("in time");
        worked.expect("worked");
        build
    }

    async fn current_digest(&self) -> Option<String> {
        let app = apps::get(&self.db, self.client, self.app).await.expect("read").expect("app");
        app.current.map(|c| c.digest)
    }
}

async fn a_preview_leaves_the_current_image(scratch: &Scratch) {
    let scene = scene(scratch).await;
    let made = scene.request().await;
    scene.run(made, vec![Ok(image("one"))]).await;
    let id = scene.asked(true).await;
    let build = scene.run(id, Vec::new()).await;
    assert_eq!((build.status, build.image_digest, build.preview), (BuildStatus::Success, None, true));
    assert_eq!((build.stack.as_deref(), build.report.as_deref()), (Some("node"), Some("{}")));
    assert_eq!(build.compose.as_deref(), Some("services: {}"));
    assert_eq!(scene.current_digest().await.as_deref(), Some("sha256:one"));
    let id = scene.asked(true).await;
    let build = scene.run(id, vec![Err(BuildFailure::permanent(FailureCode::NotDetected, "two"))]).await;
    assert_eq!((build.status, build.error_code.as_deref()), (BuildStatus::Failed, Some("not_detected")));
    assert_eq!((build.report.as_deref(), build.stack), (Some("{}"), None), "what was found is kept");
}

async fn a_build_that_succeeds_on_its_second_attempt(scratch: &Scratch) {
    let scene = scene(scratch).await;
    let id = scene.request().await;
    let away = BuildFailure::transient(FailureCode::GitUnreachable, "away");
    let build = scene.run(id, vec![Err(away), Ok(image("one"))]).await;
    assert_eq!(build.status, BuildStatus::Success);
    assert_eq!(build.image_digest.as_deref(), Some("sha256:one"));
    assert_eq!(build.commit_sha, Some("a".repeat(40)));
    assert_eq!(scene.current_digest().await.as_deref(), Some("sha256:one"));
    let events = status_events::list(&scene.db, scene.client, status_events::Entity::Build, id).await.expect("events");
    let statuses: Vec<_> = events.iter().map(|e| e.status.as_str()).collect();
    let attempt = ["fetching", "building", "pushing"];
    assert_eq!(statuses, [&["pending"][..], &attempt, &attempt, &["success"]].concat());
    let log = log_segments::list_after(&scene.db, scene.client, id, 0, 100).await.expect("log");
    assert_eq!(log.iter().map(|s| s.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(log[0].text, "attempt 1 of main\nsecond line");
    assert_eq!(log[2].text, "attempt 2 of main\nsecond line");
    let other = log_segments::list_after(&scene.db, ClientId::new(), id, 0, 100).await.expect("log");
    assert!(other.is_empty(), "another client reads the log");
    let grants = sql("select id from registry_grants").fetch_all(&scene.db, |r| r.text("id")).await.expect("grants");
    assert!(grants.is_empty(), "a login outlived its build");
}

async fn a_build_keeps_its_parts_and_has_an_image_of_each(scratch: &Scratch) {
    let scene = scene(scratch).await;
    let parts = vec![source("api"), source("web")];
    let id = scene.asked_for(parts.clone(), false).await;
    let made = vec![image_of(source("api"), "one"), image_of(source("web"), "two")];
    let away = BuildFailure::transient(FailureCode::GitUnreachable, "away");
    let build = scene.run(id, vec![Err(away), Ok(made)]).await;
    assert_eq!((build.status, &build.parts), (BuildStatus::Success, &parts));
    let log = log_segments::list_after(&scene.db, scene.client, id, 0, 100).await.expect("log");
    let ordered = log.iter().filter(|segment| segment.text == "api, web").count();
    assert_eq!(ordered, 2, "both attempts are of the same parts: {log:?}");
    let images = builds::images(&scene.db, &build).await.expect("images");
    let told: Vec<_> = images.iter().map(|image| (image.part.clone(), image.digest.as_str())).collect();
    assert_eq!(told, [(source("api"), "sha256:one"), (source("web"), "sha256:two")]);
    assert_eq!(
        (images[1].tag.as_str(), images[1].port, images[1].stack.as_deref()),
        ("t-two", Some(3000), Some("node"))
    );
    assert_eq!(build.image_digest.as_deref(), Some("sha256:one"), "the first stands in the build's row");
    assert_eq!(scene.current_digest().await.as_deref(), Some("sha256:one"));
    let listed = builds::list(&scene.db, scene.client, None, None, 10).await.expect("builds");
    assert_eq!(listed[0].parts, parts);
    let digest = |text: &str| format!("sha256:{}", text.repeat(64)).parse().expect("a digest");
    sql("update build_images set digest = $1 where digest = 'sha256:two'")
        .text(digest("2"))
        .execute(&scene.db)
        .await
        .expect("updated");
    let found = async |client, text| builds::find_by_digest(&scene.db, client, scene.app, &digest(text)).await;
    assert_eq!(found(scene.client, "2").await.expect("read").map(|build| build.id), Some(id));
    assert!(found(scene.client, "3").await.expect("read").is_none());
    assert!(found(ClientId::new(), "2").await.expect("read").is_none(), "another client finds the image");
}

async fn a_push_waits_for_a_removal_of_the_apps_images(scratch: &Scratch) {
    let scene = scene(scratch).await;
    let id = scene.request().await;
    let until = scene.db.now_ms() + 1500;
    sql("insert into image_removals (app_id, digest, client_id, requested_at, held_until) values ($1, 'sha256:one', $2, 1, $3)")
        .text(scene.app)
        .text(scene.client)
        .int(until)
        .execute(&scene.db)
        .await
        .expect("held");
    let build = scene.run(id, vec![Ok(image("one"))]).await;
    assert_eq!((build.status, build.image_removed_at), (BuildStatus::Success, None));
    let events = status_events::list(&scene.db, scene.client, status_events::Entity::Build, id).await.expect("events");
    let pushing: Vec<_> = events.iter().filter(|e| e.status == "pushing").map(|e| e.at).collect();
    assert!(pushing.len() == 1 && pushing[0] > until, "{pushing:?} is not after {until}");
}

async fn a_late_attempt_leaves_no_images(scratch: &Scratch) {
    let scene = scene(scratch).await;
    let id = scene.request().await;
    let build = builds::get(&scene.db, scene.client, id).await.expect("read").expect("build");
    let claim = "update jobs set state = 'running', attempt = 2, lease_owner = 'me' where id = $1";
    sql(claim).text(build.job).execute(&scene.db).await.expect("claimed");
    let pushing = "update build_jobs set status = 'pushing' where id = $1";
    sql(pushing).text(id).execute(&scene.db).await.expect("moved");
    let fence = |attempt| crate::store::Fence { job: build.job, attempt };
    let images: Vec<_> = image("late").into_iter().map(super::image).collect();
    let count = async || builds::images(&scene.db, &build).await.expect("images").len();
    for (attempt, done, left) in [(1, false, 0), (2, true, 1)] {
        let mut tx = scene.db.begin().await.expect("begin");
        let moved = builds::finish_success(&mut tx, fence(attempt), id, &images, 1).await.expect("finished");
        tx.commit().await.expect("commit");
        assert_eq!((moved, count().await), (done, left));
    }
}

async fn a_build_from_before_there_were_parts_has_its_own_image(scratch: &Scratch) {
    let scene = scene(scratch).await;
    let id = scene.request().await;
    let build = scene.run(id, vec![Ok(image("old"))]).await;
    let images = builds::images(&scene.db, &build).await.expect("images");
    for forget in ["update build_jobs set parts = null where id = $1", "delete from build_images where build_id = $1"] {
        sql(forget).text(id).execute(&scene.db).await.expect("forgotten");
    }
    let build = builds::get(&scene.db, scene.client, id).await.expect("read").expect("build");
    assert_eq!(build.parts, [BuildPart::App]);
    let own = builds::images(&scene.db, &build).await.expect("images");
    let told = |images: &[Image]| images.iter().map(|i| (i.part.clone(), i.digest.clone())).collect::<Vec<_>>();
    assert_eq!(told(&own), told(&images));
    let pending = scene.request().await;
    let pending = builds::get(&scene.db, scene.client, pending).await.expect("read").expect("build");
    assert!(builds::images(&scene.db, &pending).await.expect("images").is_empty());
}

async fn only_a_live_attempt_of_a_known_build_runs(scratch: &Scratch) {
    let scene = scene(scratch).await;
    let id = scene.request().await;
    let key = MasterKey::new(&[7; 32]).expect("key");
    let worker = WorkerConfig::new(JobKind::Build);
    let source = LocalSource { db: scene.db.clone(), key, worker, max_log_bytes: 1000 };
    let runs = async |build, attempt| source.is_running(build, attempt).await.expect("answered");
    let build = builds::get(&scene.db, scene.client, id).await.expect("read").expect("build");
    assert!(!runs(id, 1).await, "nobody has it yet");
    let claim = "update jobs set state = 'running', attempt = 2, lease_owner = 'me' where id = $1";
    sql(claim).text(build.job).execute(&scene.db).await.expect("claimed");
    assert!(runs(id, 2).await && !runs(id, 1).await);
    let end = "update jobs set state = 'succeeded', lease_owner = null, finished_at = 1 where id = $1";
    sql(end).text(build.job).execute(&scene.db).await.expect("ended");
    assert!(!runs(id, 2).await);
    assert!(runs(BuildId::new(), 1).await, "another installation's");
}

async fn failures_keep_their_code_and_leave_the_current_image(scratch: &Scratch) {
    let scene = scene(scratch).await;
    let (older, newer) = (scene.request().await, scene.request().await);
    let ends = vec![Ok(image("older")), Ok(image("newer"))];
    // Both run at once; whichever ends last, the newer one's image stays.
    scene.run(older, ends).await;
    let failed = scene.request().await;
    let before = scene.current_digest().await;
    let failure = BuildFailure::permanent(FailureCode::OutOfMemory, "needs more");
    let build = scene.run(failed, vec![Err(failure)]).await;
    assert_eq!((build.status, build.error_code.as_deref()), (BuildStatus::Failed, Some("out_of_memory")));
    assert_eq!(build.error_message.as_deref(), Some("needs more"));
    assert_eq!(scene.current_digest().await, before);
    let app = apps::get(&scene.db, scene.client, scene.app).await.expect("read").expect("app");
    assert_eq!(app.current.map(|c| c.build), Some(newer));
}

async fn a_log_is_bounded_and_says_so_and_only_its_holder_writes(scratch: &Scratch) {
    let scene = scene(scratch).await;
    let id = scene.request().await;
    let build = builds::get(&scene.db, scene.client, id).await.expect("read").expect("build");
    let claim = "update jobs set state = 'running', attempt = 2, lease_owner = 'me' where id = $1";
    sql(claim).text(build.job).execute(&scene.db).await.expect("claimed");
    let fence = |attempt| crate::store::Fence { job: build.job, attempt };
    let to = |attempt| LogTarget { fence: fence(attempt), client: scene.client, entity: id.0, max_bytes: 100 };
    let line = "x".repeat(60);
    let append = async |attempt| log_segments::append(&scene.db, &to(attempt), &[&line]).await.expect("append");
    assert_eq!(append(1).await, Appended::Lost);
    assert_eq!(append(2).await, Appended::Written);
    assert_eq!(append(2).await, Appended::Full);
    assert_eq!(append(2).await, Appended::Full);
    let log = log_segments::list_after(&scene.db, scene.client, id, 0, 100).await.expect("log");
    assert_eq!(log.len(), 2);
    assert!(log[1].text.contains("truncated"), "{log:?}");
    let mut tx = scene.db.begin().await.expect("begin");
    let late = builds::advance(&mut tx, fence(1), id, BuildStatus::Fetching, None, 1).await.expect("advance");
    assert!(!late, "a late attempt moved the build");
    let skipped = builds::advance(&mut tx, fence(2), id, BuildStatus::Pushing, None, 1).await.expect("advance");
    assert!(!skipped, "a status was left out");
    assert!(builds::advance(&mut tx, fence(2), id, BuildStatus::Fetching, None, 1).await.expect("advance"));
}

async fn the_forges_own_host_keys_are_read_however_many_there_are(scratch: &Scratch) {
    let scene = scene(scratch).await;
    let mut tx = scene.db.begin().await.expect("begin");
    let key = |host: String| forge_host_keys::ForgeHostKey {
        id: uuid::Uuid::now_v7(),
        client: scene.client,
        host: host.parse().expect("a host"),
        port: 443,
        public_key: "ssh-ed25519 AAAA".into(),
        created_at: 0,
    };
    forge_host_keys::insert(&mut tx, &key("git.example.com".into())).await.expect("inserted");
    for n in 0..HOST_KEYS {
        forge_host_keys::insert(&mut tx, &key(format!("h{n}.example.com"))).await.expect("inserted");
    }
    tx.commit().await.expect("commit");
    let local = LocalHandler {
        db: scene.db.clone(),
        key: MasterKey::new(&[7; 32]).expect("key"),
        max_log_bytes: 1,
        handler: Arc::new(Scripted(Mutex::new(Vec::new()))),
    };
    let mut app = apps::get(&scene.db, scene.client, scene.app).await.expect("read").expect("app");
    let hosts = |keys: Vec<HostKey>| keys.into_iter().map(|k| k.host).collect::<Vec<_>>();
    assert_eq!(hosts(local.host_keys(&app).await.expect("keys")), ["git.example.com"]);
    app.settings.submodules = true;
    let all = hosts(local.host_keys(&app).await.expect("keys"));
    assert!(all.contains(&"git.example.com".to_owned()) && all.contains(&"h0.example.com".to_owned()), "{all:?}");
}
