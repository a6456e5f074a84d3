//! What the store says about releases that follow each other, on both databases.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use shared::{
    domain::{
        ClientId, CustomerId, DeploymentId, EventType, JobId, Port, ServerId,
        release::{FrozenImage, ReleasePlan},
        status::DeploymentStatus as Status,
    },
    queue::{JobKind, NewJob, enqueue},
    store::{
        Db, Fence, Tx,
        deployments::{self, Filter, NewDeployment, Place},
        domains::{self, Holder},
        events::{self, Which},
        scratch::{Scratch, Tenant},
        sql,
        status_events::{self, Entity},
    },
};

shared::on_both_databases! {
    a_new_release_supersedes_the_one_before,
    an_older_release_cannot_replace_a_newer_one,
    a_lost_attempt_writes_nothing,
    what_an_attempt_left_open_is_not_committed_once_it_is_lost,
    a_domain_is_free_once_nothing_serves_it,
    a_domain_that_is_claimed_again_meanwhile_stays,
    a_job_is_open_while_it_may_change_the_server,
    a_release_that_ends_badly_is_told_once,
}

struct World {
    db: Db,
    holder: Holder,
    customer: CustomerId,
}

const PLACE: Place<'static> = Place { vps_id: "vps", vps_ip: "192.0.2.1", watch: Duration::ZERO };

async fn world(scratch: &Scratch) -> World {
    let db = scratch.db.clone();
    let Tenant { client, customer, app, server } = Tenant::new(&db).await;
    World { db, holder: Holder { client, app, server }, customer }
}

impl World {
    /// A release and a claimed job on it.
    async fn release(&self) -> (DeploymentId, Fence) {
        let h = &self.holder;
        let mut tx = self.db.begin().await.unwrap();
        let domain = "shop.example.com".parse().unwrap();
        assert!(domains::claim(&mut tx, 0, &domain, h).await.unwrap());
        let id = self.insert(&mut tx).await;
        let job = enqueue(&mut tx, &self.db, &NewJob::new(JobKind::Deploy, id, h.client)).await.unwrap().id();
        tx.commit().await.unwrap();
        self.claim(job, 1).await;
        (id, Fence { job, attempt: 1 })
    }

    async fn insert(&self, tx: &mut Tx) -> DeploymentId {
        let (id, h) = (DeploymentId::new(), &self.holder);
        let new = NewDeployment {
            id,
            client: h.client,
            app: h.app,
            customer: self.customer,
            server: h.server,
            build: None,
            sequence: deployments::next_sequence(tx, h.client, h.server, h.app).await.unwrap(),
            image_tag: None,
            plan: plan(),
            prepared: false,
            env_sealed: String::new(),
        };
        deployments::insert(tx, &self.db, &new).await.unwrap();
        id
    }

    async fn claim(&self, job: JobId, attempt: i64) {
        sql("update jobs set state = 'running', attempt = $1, lease_owner = 't', lease_until = 0 where id = $2")
            .int(attempt)
            .text(job)
            .execute(&self.db)
            .await
            .unwrap();
    }

    async fn advance(&self, id: DeploymentId, fence: Fence, to: Status) -> bool {
        let mut tx = self.db.begin().await.unwrap();
        let moved = deployments::advance(&mut tx, &self.db, fence, id, to, None).await.unwrap();
        tx.commit().await.unwrap();
        moved
    }

    async fn go_live(&self, id: DeploymentId, fence: Fence) -> bool {
        for to in [Status::Preparing, Status::Pulling, Status::Starting, Status::Verifying, Status::Switching] {
            assert!(self.advance(id, fence, to).await, "{to}");
        }
        let mut tx = self.db.begin().await.unwrap();
        let live = deployments::set_live(&mut tx, &self.db, fence, id, PLACE).await.unwrap();
        tx.commit().await.unwrap();
        live
    }

    async fn delete(&self, id: DeploymentId, fence: Fence) -> bool {
        let mut tx = self.db.begin().await.unwrap();
        let deleted = deployments::set_deleted(&mut tx, &self.db, fence, id).await.unwrap();
        tx.commit().await.unwrap();
        deleted
    }

    async fn status(&self, id: DeploymentId) -> Status {
        deployments::get(&self.db, self.holder.client, id).await.unwrap().unwrap().status
    }
}

async fn a_new_release_supersedes_the_one_before(scratch: &Scratch) {
    let world = world(scratch).await;
    let (one, first) = world.release().await;
    let (two, second) = world.release().await;
    assert!(world.go_live(one, first).await);
    assert!(world.go_live(two, second).await);
    assert_eq!((world.status(one).await, world.status(two).await), (Status::Superseded, Status::Live));
    let listed = deployments::list(&world.db, world.holder.client, Filter::default(), None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|d| (d.id, d.sequence)).collect::<Vec<_>>(), [(two, 2), (one, 1)]);
    let events = status_events::list(&world.db, world.holder.client, Entity::Deployment, two).await.unwrap();
    assert_eq!(events.len(), 7);
    assert!(deployments::get(&world.db, ClientId::new(), two).await.unwrap().is_none());
}

async fn an_older_release_cannot_replace_a_newer_one(scratch: &Scratch) {
    let world = world(scratch).await;
    let (one, first) = world.release().await;
    let (two, second) = world.release().await;
    assert!(world.go_live(two, second).await);
    assert!(!world.go_live(one, first).await);
    assert_eq!((world.status(one).await, world.status(two).await), (Status::Switching, Status::Live));
}

async fn a_lost_attempt_writes_nothing(scratch: &Scratch) {
    let world = world(scratch).await;
    let (id, stale) = world.release().await;
    assert!(world.advance(id, stale, Status::Preparing).await);
    world.claim(stale.job, 2).await;
    assert!(!world.advance(id, stale, Status::Pulling).await);
    assert!(!world.delete(id, stale).await);
    assert!(!deployments::set_compose(&world.db, stale, id, "x").await.unwrap());
    assert_eq!(world.status(id).await, Status::Preparing);
    assert!(world.advance(id, Fence { attempt: 2, ..stale }, Status::Preparing).await);
}

async fn what_an_attempt_left_open_is_not_committed_once_it_is_lost(scratch: &Scratch) {
    let world = world(scratch).await;
    let (id, stale) = world.release().await;
    if world.db.engine() == "SQLite" {
        // An open transaction keeps every other writer out: the job cannot be lost meanwhile.
        world.claim(stale.job, 2).await;
    }
    let mut tx = world.db.begin().await.unwrap();
    sql("update deployments set status = 'preparing' where id = $1").text(id).execute(&mut tx).await.unwrap();
    if world.db.engine() == "Postgres" {
        world.claim(stale.job, 2).await;
    }
    assert!(!tx.commit_under(stale).await.unwrap());
    assert_eq!(world.status(id).await, Status::Pending);
    let tx = world.db.begin().await.unwrap();
    assert!(tx.commit_under(Fence { attempt: 2, ..stale }).await.unwrap());
}

async fn a_domain_is_free_once_nothing_serves_it(scratch: &Scratch) {
    let world = world(scratch).await;
    let domain = "shop.example.com".parse().unwrap();
    let (one, first) = world.release().await;
    let (two, second) = world.release().await;
    assert!(world.go_live(one, first).await);
    assert!(world.advance(two, second, Status::Preparing).await);
    assert!(world.delete(one, first).await);
    assert!(domains::holder(&world.db, &domain).await.unwrap().is_some(), "the second release may still serve it");
    assert!(world.delete(two, second).await);
    assert_eq!(world.status(two).await, Status::Deleted);
    assert!(domains::holder(&world.db, &domain).await.unwrap().is_none());
}

async fn a_domain_that_is_claimed_again_meanwhile_stays(scratch: &Scratch) {
    let world = world(scratch).await;
    let domain: shared::domain::DomainName = "shop.example.com".parse().unwrap();
    world.release().await;
    sql("update deployments set status = 'superseded'").execute(&world.db).await.unwrap();
    let mut claiming = world.db.begin().await.unwrap();
    assert!(domains::claim(&mut claiming, 0, &domain, &world.holder).await.unwrap());
    // Somebody else wants it, and sees no deployment that serves it.
    let (db, wanted) = (world.db.clone(), domain.clone());
    let freeing = tokio::spawn(async move {
        let mut tx = db.begin().await.unwrap();
        let freed = domains::release_stale(&mut tx, &wanted).await.unwrap();
        tx.commit().await.unwrap();
        freed
    });
    if world.db.engine() == "Postgres" {
        let waits = "select count(*) as n from pg_stat_activity
                     where datname = current_database() and wait_event_type = 'Lock'";
        while sql(waits).fetch_one(&world.db, |r| r.int("n")).await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    world.insert(&mut claiming).await;
    claiming.commit().await.unwrap();
    assert_eq!(freeing.await.unwrap(), 0);
    assert_eq!(domains::holder(&world.db, &domain).await.unwrap(), Some(world.holder.clone()));
}

async fn a_job_is_open_while_it_may_change_the_server(scratch: &Scratch) {
    let world = world(scratch).await;
    let (held, lost, waiting, ended) =
        (world.release().await.1, world.release().await.1, world.release().await.1, world.release().await.1);
    let set = |text, fence: Fence| sql(text).text(fence.job).execute(&world.db);
    set("update jobs set lease_until = 9223372036854775807 where id = $1", held).await.unwrap();
    set("update jobs set state = 'queued', lease_owner = null where id = $1", waiting).await.unwrap();
    set("update jobs set state = 'succeeded', lease_owner = null, finished_at = 1 where id = $1", ended).await.unwrap();
    let open = deployments::open_jobs(&world.db, world.holder.server).await.unwrap();
    assert_eq!(open, [held.job, waiting.job], "not {}, whose lease ran out", lost.job);
    assert!(deployments::open_jobs(&world.db, ServerId::new()).await.unwrap().is_empty());
}

async fn a_release_that_ends_badly_is_told_once(scratch: &Scratch) {
    let w = world(scratch).await;
    let told = async || {
        let all = Which { kind: None, before: None, limit: 10 };
        let events = events::list(&w.db, w.holder.client, all).await.unwrap();
        events.into_iter().map(|event| (event.kind, event.data)).collect::<Vec<_>>()
    };
    let fail = async |fence, id, to| {
        let mut tx = w.db.begin().await.unwrap();
        let long = "x".repeat(5000);
        let failed = deployments::fail(&mut tx, &w.db, fence, id, to, "start_failed", &long).await.unwrap();
        tx.commit().await.unwrap();
        failed
    };
    let (id, fence) = w.release().await;
    assert!(!fail(Fence { attempt: 2, ..fence }, id, Status::Failed).await);
    assert!(told().await.is_empty(), "a lost attempt tells nothing");
    assert!(fail(fence, id, Status::Failed).await);
    assert!(fail(fence, id, Status::Failed).await, "it is there");
    let events = told().await;
    assert_eq!(events.len(), 1);
    let (kind, data) = &events[0];
    assert_eq!(*kind, EventType::DeploymentFailed.as_str());
    assert_eq!((&data["deployment_id"], &data["code"]), (&id.to_string().into(), &"start_failed".into()));
    assert_eq!((&data["domain"], &data["app_id"]), (&"shop.example.com".into(), &w.holder.app.to_string().into()));
    assert_eq!(data["message"].as_str().map(str::len), Some(1000));

    let (second, fence) = w.release().await;
    for to in [Status::Preparing, Status::Pulling, Status::Starting, Status::Verifying, Status::Switching] {
        assert!(w.advance(second, fence, to).await);
    }
    let over = "update jobs set state = 'dead', finished_at = 1, lease_owner = null where id = $1";
    sql(over).text(fence.job).execute(&w.db).await.unwrap();
    let mut tx = w.db.begin().await.unwrap();
    let ended = deployments::fail_unfenced(&mut tx, &w.db, second, Status::RolledBack, "gave_up", "lost").await;
    assert!(ended.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(told().await[0].0, EventType::DeploymentRolledBack.as_str());

    let (third, fence) = w.release().await;
    assert!(fail(fence, third, Status::Cancelled).await);
    assert_eq!(told().await.len(), 2, "what somebody asked for is no alert");
}

fn plan() -> ReleasePlan {
    let digest = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
    let image = FrozenImage::Built { repository: "r".into(), digest };
    let domain = "shop.example.com".parse().unwrap();
    ReleasePlan::single(image, Port::saturating(80), "/".parse().unwrap(), domain)
}
