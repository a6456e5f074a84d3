//! What the store says about looks at servers, and about repair, on both databases.
#![allow(clippy::unwrap_used)]

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use shared::{
    domain::{
        AppId, ClientId, DeploymentId, JobId, Port, ServerId,
        observed::{Facts, Machine},
        release::{FrozenImage, ReleasePlan},
    },
    queue::{Enqueued, JobKind, NewJob, enqueue, is_active},
    store::{
        Asked, Db, Fence,
        counts::{Counted, count},
        deployments::{self, NewDeployment},
        log_segments, observations,
        scratch::{Scratch, Tenant},
        sql,
    },
};

shared::on_both_databases! {
    a_look_is_kept_whole_and_failures_are_counted_beside_it,
    a_lost_attempt_keeps_nothing,
    ready_servers_are_watched_by_one_job_each,
    a_job_that_watches_is_nobodys_work,
    what_a_job_works_on_is_known,
    a_wish_for_repair_stays_until_it_is_fulfilled,
}

struct World {
    db: Db,
    tenant: Tenant,
}

async fn world(db: &Db) -> World {
    let tenant = Tenant::new(db).await;
    let world = World { db: db.clone(), tenant };
    world.set_status(tenant.server, "ready").await;
    world
}

impl World {
    async fn set_status(&self, id: ServerId, status: &str) {
        sql("update servers set status = $1 where id = $2").text(status).text(id).execute(&self.db).await.unwrap();
    }

    async fn add_server(&self, id: ServerId, status: &str) {
        self.tenant.add_server(&self.db, id).await;
        self.set_status(id, status).await;
    }

    async fn add_job(&self, new: &NewJob) -> JobId {
        let mut tx = self.db.begin().await.unwrap();
        let job = enqueue(&mut tx, &self.db, new).await.unwrap().id();
        tx.commit().await.unwrap();
        job
    }

    /// The fence of a job that a worker has.
    async fn claimed(&self, job: JobId, attempt: i64) -> Fence {
        sql("update jobs set state = 'running', attempt = $1, lease_owner = 't', lease_until = 0 where id = $2")
            .int(attempt)
            .text(job)
            .execute(&self.db)
            .await
            .unwrap();
        Fence { job, attempt }
    }

    async fn seen(&self, fence: Fence, facts: &Facts) -> bool {
        let mut tx = self.db.begin().await.unwrap();
        observations::hold(&mut tx, &self.db, self.tenant.client, self.tenant.server).await.unwrap();
        observations::set_seen(&mut tx, &self.db, self.tenant.server, facts).await.unwrap();
        tx.commit_under(fence).await.unwrap()
    }

    async fn failed(&self, fence: Fence) -> (i64, i64) {
        let mut tx = self.db.begin().await.unwrap();
        observations::hold(&mut tx, &self.db, self.tenant.client, self.tenant.server).await.unwrap();
        let counted =
            observations::add_failure(&mut tx, &self.db, self.tenant.server, ("ssh_unreachable", "gone")).await;
        assert!(tx.commit_under(fence).await.unwrap());
        counted.unwrap()
    }

    async fn known(&self) -> observations::Observation {
        observations::get(&self.db, self.tenant.client, self.tenant.server).await.unwrap().unwrap()
    }

    async fn add_live(&self) -> (AppId, DeploymentId) {
        let (app, id) = (AppId::new(), DeploymentId::new());
        let apps = "insert into apps (id, client_id, slug, git_url, git_branch, created_at, updated_at)
                    values ($1, $2, $1, 'g', 'b', 0, 0)";
        sql(apps).text(app).text(self.tenant.client).execute(&self.db).await.unwrap();
        let digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        let image = FrozenImage::Built { repository: "c/a".into(), digest };
        let (port, domain) = (Port::saturating(80), "shop.example.com".parse().unwrap());
        let new = NewDeployment {
            id,
            client: self.tenant.client,
            app,
            customer: self.tenant.customer,
            server: self.tenant.server,
            build: None,
            sequence: 1,
            image_tag: None,
            plan: ReleasePlan::single(image, port, "/".parse().unwrap(), domain),
            prepared: false,
            env_sealed: "sealed".into(),
        };
        let mut tx = self.db.begin().await.unwrap();
        deployments::insert(&mut tx, &self.db, &new).await.unwrap();
        tx.commit().await.unwrap();
        sql("update deployments set status = 'live' where id = $1").text(id).execute(&self.db).await.unwrap();
        (app, id)
    }
}

fn facts(disk_used: u64) -> Facts {
    Facts { machine: Machine { disk_used, ..Machine::default() }, ..Facts::default() }
}

async fn a_look_is_kept_whole_and_failures_are_counted_beside_it(scratch: &Scratch) {
    let hands = Arc::new(AtomicI64::new(1_000));
    let w = world(&scratch.db.clone().under(hands.clone())).await;
    let other = world(&scratch.db).await;
    let job = w.add_job(&NewJob::observe(w.tenant.client, w.tenant.server)).await;
    let fence = w.claimed(job, 1).await;
    assert!(observations::get(&w.db, w.tenant.client, w.tenant.server).await.unwrap().is_none());
    assert_eq!(w.failed(fence).await, (1, 1_000));
    let first = w.known().await;
    assert_eq!((first.facts, first.observed_at, first.reachable, first.failures), (None, None, true, 1));
    hands.store(2_000, Ordering::SeqCst);
    assert!(w.seen(fence, &facts(5)).await);
    hands.store(3_000, Ordering::SeqCst);
    assert_eq!(w.failed(fence).await, (1, 3_000));
    hands.store(4_000, Ordering::SeqCst);
    assert_eq!(w.failed(fence).await, (2, 3_000));
    let mut tx = w.db.begin().await.unwrap();
    observations::set_unreachable(&mut tx, w.tenant.server).await.unwrap();
    tx.commit().await.unwrap();
    let known = w.known().await;
    assert_eq!((known.facts, known.observed_at, known.tried_at), (Some(facts(5)), Some(2_000), 4_000));
    assert_eq!((known.reachable, known.error_code.as_deref()), (false, Some("ssh_unreachable")));
    assert!(
        observations::get(&w.db, other.tenant.client, w.tenant.server).await.unwrap().is_none(),
        "it is the client's own"
    );
    let mut tx = w.db.begin().await.unwrap();
    observations::forget_failures(&mut tx, w.tenant.server).await.unwrap();
    assert!(tx.commit_under(fence).await.unwrap());
    let skipped = w.known().await;
    assert_eq!((skipped.failures, skipped.failing_since, skipped.error_code), (0, None, None));
    assert_eq!((skipped.facts, skipped.reachable), (Some(facts(5)), false), "what was seen and told stays");
    hands.store(9_000, Ordering::SeqCst);
    assert_eq!(w.failed(fence).await, (1, 9_000));
    assert!(w.seen(fence, &facts(6)).await);
    let again = w.known().await;
    assert_eq!((again.facts, again.reachable, again.failures, again.error_code), (Some(facts(6)), true, 0, None));
}

async fn a_lost_attempt_keeps_nothing(scratch: &Scratch) {
    let w = world(&scratch.db).await;
    let job = w.add_job(&NewJob::observe(w.tenant.client, w.tenant.server)).await;
    let first = w.claimed(job, 1).await;
    let second = w.claimed(job, 2).await;
    assert!(!w.seen(first, &facts(1)).await);
    assert!(observations::get(&w.db, w.tenant.client, w.tenant.server).await.unwrap().is_none());
    assert!(w.seen(second, &facts(2)).await);
    assert!(!w.seen(first, &facts(1)).await);
    assert_eq!(w.known().await.facts, Some(facts(2)));
}

async fn ready_servers_are_watched_by_one_job_each(scratch: &Scratch) {
    let w = world(&scratch.db).await;
    let (stopped, leaving) = (ServerId::new(), ServerId::new());
    w.add_server(stopped, "stopped").await;
    w.add_server(leaving, "ready").await;
    sql("update servers set delete_requested_at = 1 where id = $1").text(leaving).execute(&w.db).await.unwrap();
    assert_eq!(observations::unwatched(&w.db, 10).await.unwrap(), [(w.tenant.client, w.tenant.server)]);
    let new = NewJob::observe(w.tenant.client, w.tenant.server);
    let job = w.add_job(&new).await;
    assert!(observations::unwatched(&w.db, 10).await.unwrap().is_empty());
    let mut tx = w.db.begin().await.unwrap();
    assert_eq!(enqueue(&mut tx, &w.db, &new).await.unwrap(), Enqueued::Active(job));
    tx.commit().await.unwrap();
    w.claimed(job, 1).await;
    assert!(observations::unwatched(&w.db, 10).await.unwrap().is_empty());
    sql("update jobs set state = 'dead', lease_owner = null, lease_until = null, finished_at = 1 where id = $1")
        .text(job)
        .execute(&w.db)
        .await
        .unwrap();
    assert_eq!(observations::unwatched(&w.db, 10).await.unwrap().len(), 1, "somebody else takes over");
}

async fn a_job_that_watches_is_nobodys_work(scratch: &Scratch) {
    let w = world(&scratch.db).await;
    w.add_job(&NewJob::observe(w.tenant.client, w.tenant.server)).await;
    assert_eq!(count(&w.db, w.tenant.client, Counted::QueuedJobs, 0).await.unwrap(), 0);
    assert!(!log_segments::has_writer(&w.db, w.tenant.client, w.tenant.server).await.unwrap(), "its log has an end");
    assert!(!is_active(&w.db, JobKind::Provision, w.tenant.server).await.unwrap());
}

async fn what_a_job_works_on_is_known(scratch: &Scratch) {
    let w = world(&scratch.db).await;
    let (app, id) = w.add_live().await;
    let live = deployments::live_on(&w.db, w.tenant.server).await.unwrap();
    assert_eq!(live.iter().map(|d| (d.id, d.plan().unwrap().components.len())).collect::<Vec<_>>(), [(id, 1)]);
    assert_eq!((live[0].env_sealed.as_str(), live[0].compose.as_deref()), ("", None), "a look needs no secrets");
    assert!(deployments::apps_worked_on(&w.db, w.tenant.server).await.unwrap().is_empty());
    let job = w.add_job(&NewJob::new(JobKind::Deploy, id, w.tenant.client)).await;
    assert_eq!(deployments::apps_worked_on(&w.db, w.tenant.server).await.unwrap(), [app]);
    w.claimed(job, 1).await;
    assert_eq!(deployments::apps_worked_on(&w.db, w.tenant.server).await.unwrap(), [app]);
    assert!(deployments::apps_worked_on(&w.db, ServerId::new()).await.unwrap().is_empty());
}

async fn a_wish_for_repair_stays_until_it_is_fulfilled(scratch: &Scratch) {
    let w = world(&scratch.db).await;
    let (_, id) = w.add_live().await;
    let ask = async |client| {
        let mut tx = w.db.begin().await.unwrap();
        let asked = deployments::request_repair(&mut tx, &w.db, client, id).await.unwrap();
        tx.commit().await.unwrap();
        asked
    };
    assert_eq!(ask(ClientId::new()).await, Asked::Idle, "not another client's");
    assert_eq!(ask(w.tenant.client).await, Asked::First);
    assert_eq!(ask(w.tenant.client).await, Asked::Again);
    let job = w.add_job(&NewJob::new(JobKind::Deploy, id, w.tenant.client)).await;
    let (first, second) = (w.claimed(job, 1).await, w.claimed(job, 2).await);
    assert!(!deployments::forget_repair(&w.db, first, id).await.unwrap(), "a lost attempt");
    let wanted = async || deployments::load_unfenced(&w.db, id).await.unwrap().unwrap().repair_requested_at.is_some();
    assert!(wanted().await);
    assert!(deployments::forget_repair(&w.db, second, id).await.unwrap());
    assert!(!wanted().await);
    sql("update deployments set desired = 'stopped' where id = $1").text(id).execute(&w.db).await.unwrap();
    assert_eq!(ask(w.tenant.client).await, Asked::Idle, "it is to end");
}
