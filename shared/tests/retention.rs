//! Images that leave the registry, as the store decides about them, on both databases.
#![allow(clippy::unwrap_used)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use shared::{
    domain::{
        BuildId, CustomerId, DeploymentId, ImageDigest, JobId, Port, ServerId,
        component::BuildPart,
        release::{FrozenImage, ReleasePlan},
        retention::Rule,
        status::BuildStatus,
    },
    queue::{JobKind, NewJob, enqueue, is_active},
    store::{
        Db, Fence, apps,
        builds::{self, Image, NewBuild},
        deployments::{self, NewDeployment},
        image_removals::{self, Of, Turn},
        scratch::{Scratch, Tenant, add_app},
        sql,
    },
};

shared::on_both_databases! {
    what_nobody_needs_goes_once,
    what_is_deployed_or_can_be_gone_back_to_stays,
    a_build_and_a_removal_wait_for_each_other,
    a_turn_that_died_is_followed_by_another,
    what_a_build_makes_again_is_there_again,
    a_refused_removal_is_taken_back,
    an_image_is_deployed_or_removed_but_not_both,
    apps_have_their_turns,
    one_job_looks_after_the_registry,
}

const DAY: i64 = 86_400_000;
const TURN: Duration = Duration::from_secs(150);

struct World {
    db: Db,
    of: Of,
    customer: CustomerId,
    server: ServerId,
}

fn digest(n: u8) -> ImageDigest {
    format!("sha256:{}", format!("{n:02x}").repeat(32)).parse().unwrap()
}

fn rule() -> Rule {
    Rule { releases: 1, builds: 1, age: Duration::from_secs(86_400) }
}

async fn world(db: &Db) -> World {
    let Tenant { client, customer, app, server } = Tenant::new(db).await;
    World { db: db.clone(), of: Of { client, app }, customer, server }
}

/// A database whose clock stands at the hundredth day.
fn clock(scratch: &Scratch) -> (Db, Arc<AtomicI64>) {
    let hands = Arc::new(AtomicI64::new(100 * DAY));
    (scratch.db.clone().under(hands.clone()), hands)
}

impl World {
    async fn claimed(&self, job: JobId) -> Fence {
        sql("update jobs set state = 'running', attempt = 1, lease_owner = 't', lease_until = 0 where id = $1")
            .text(job)
            .execute(&self.db)
            .await
            .unwrap();
        Fence { job, attempt: 1 }
    }

    /// A build that came as far as the status before `pushing`.
    async fn building(&self) -> (BuildId, Fence) {
        let (id, Of { client, app }) = (BuildId::new(), self.of);
        let mut tx = self.db.begin().await.unwrap();
        let job = enqueue(&mut tx, &self.db, &NewJob::new(JobKind::Build, id, client)).await.unwrap().id();
        let parts = BuildPart::only_app();
        let new = NewBuild { id, client, app, job, git_ref: "main".into(), commit_sha: None, preview: false, parts };
        builds::insert(&mut tx, &new, 0).await.unwrap();
        tx.commit().await.unwrap();
        let fence = self.claimed(job).await;
        for to in [BuildStatus::Fetching, BuildStatus::Building] {
            self.advance(id, fence, to).await;
        }
        (id, fence)
    }

    async fn advance(&self, id: BuildId, fence: Fence, to: BuildStatus) {
        let mut tx = self.db.begin().await.unwrap();
        assert!(builds::advance(&mut tx, fence, id, to, None, 0).await.unwrap());
        tx.commit().await.unwrap();
    }

    /// As a worker that begins to push: whether it has to wait.
    async fn has_to_wait(&self, build: BuildId) -> bool {
        let mut tx = self.db.begin().await.unwrap();
        image_removals::is_under_way(&mut tx, &self.db, build).await.unwrap()
    }

    async fn succeed(&self, (id, fence): (BuildId, Fence), image: u8, at: i64) {
        self.advance(id, fence, BuildStatus::Pushing).await;
        let made = Image {
            part: BuildPart::App,
            repository: apps::repository(self.of.client, self.of.app),
            tag: format!("t{image}"),
            digest: digest(image).to_string(),
            stack: None,
            port: None,
            health_path: None,
        };
        let mut tx = self.db.begin().await.unwrap();
        assert!(builds::finish_success(&mut tx, fence, id, &[made], at).await.unwrap());
        assert!(tx.commit_under(fence).await.unwrap());
    }

    /// Builds of long ago, each with the image of its number.
    async fn built(&self, images: std::ops::RangeInclusive<u8>) -> Vec<BuildId> {
        let mut all = Vec::new();
        for n in images {
            let build = self.building().await;
            self.succeed(build, n, i64::from(n)).await;
            all.push(build.0);
        }
        all
    }

    async fn begin(&self) -> Option<Turn> {
        let mut tx = self.db.begin().await.unwrap();
        let turn = image_removals::begin(&mut tx, &self.db, self.of, &rule(), TURN).await.unwrap();
        tx.commit().await.unwrap();
        turn
    }

    /// The images of a turn that nothing stands in the way of.
    async fn taken(&self) -> Vec<ImageDigest> {
        self.begin().await.unwrap().images
    }

    async fn set_removed(&self, turn: &Turn) {
        let mut tx = self.db.begin().await.unwrap();
        image_removals::set_removed(&mut tx, &self.db, self.of, turn, &turn.images).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn is_removed(&self, image: u8) -> bool {
        image_removals::is_removed(&self.db, self.of.app, &digest(image)).await.unwrap()
    }

    /// As the API records one: under the app's lock, unless the image is gone. Whether it did.
    async fn deploy(&self, sequence: i64, image: u8, status: &str) -> bool {
        let (id, Of { client, app }) = (DeploymentId::new(), self.of);
        let frozen = FrozenImage::Built { repository: apps::repository(client, app), digest: digest(image) };
        let (port, domain) = (Port::saturating(80), "shop.example.com".parse().unwrap());
        let new = NewDeployment {
            id,
            client,
            app,
            customer: self.customer,
            server: self.server,
            build: None,
            sequence,
            image_tag: None,
            plan: ReleasePlan::single(frozen, port, "/".parse().unwrap(), domain),
            prepared: false,
            env_sealed: "sealed".into(),
        };
        let mut tx = self.db.begin().await.unwrap();
        assert!(apps::lock(&mut tx, client, app).await.unwrap());
        if image_removals::is_removed(&mut tx, app, &digest(image)).await.unwrap() {
            return false;
        }
        deployments::insert(&mut tx, &self.db, &new).await.unwrap();
        tx.commit().await.unwrap();
        sql("update deployments set status = $1 where id = $2").text(status).text(id).execute(&self.db).await.unwrap();
        true
    }
}

async fn what_nobody_needs_goes_once(scratch: &Scratch) {
    let (db, hands) = clock(scratch);
    let w = world(&db).await;
    let made = w.built(1..=3).await;
    let turn = w.begin().await.unwrap();
    assert_eq!(turn, Turn { until: 100 * DAY + 150_000, images: vec![digest(1), digest(2)] });
    // From now on, whether the registry still has it or not.
    assert!(w.is_removed(1).await && !w.deploy(1, 1, "pending").await && w.deploy(1, 3, "pending").await);
    let known = builds::get(&db, w.of.client, made[0]).await.unwrap().unwrap();
    assert_eq!(known.image_removed_at, Some(100 * DAY));
    let listed = builds::list(&db, w.of.client, Some(w.of.app), None, 10).await.unwrap();
    let shown: Vec<_> = listed.iter().map(|build| build.image_removed_at.is_some()).collect();
    assert_eq!(shown, [false, true, true]);
    let images = image_removals::of_build(&db, &known).await.unwrap();
    assert_eq!(images.into_iter().collect::<Vec<_>>(), [(digest(1).to_string(), 100 * DAY)]);
    // Nobody else removes them meanwhile, nor later.
    assert!(w.taken().await.is_empty());
    w.set_removed(&turn).await;
    hands.fetch_add(DAY, Ordering::SeqCst);
    assert!(w.taken().await.is_empty());
}

async fn what_is_deployed_or_can_be_gone_back_to_stays(scratch: &Scratch) {
    let (db, _) = clock(scratch);
    let w = world(&db).await;
    w.built(1..=7).await;
    for (sequence, image, status) in
        [(1, 1, "superseded"), (2, 2, "superseded"), (3, 3, "failed"), (4, 4, "cancelled"), (5, 5, "live")]
    {
        assert!(w.deploy(sequence, image, status).await);
    }
    assert_eq!(w.taken().await, [digest(1), digest(4), digest(6)]);
    // Of a deleted app only what still runs.
    sql("update apps set deleted_at = 1 where id = $1").text(w.of.app).execute(&db).await.unwrap();
    assert_eq!(w.taken().await, [digest(2), digest(3), digest(7)]);
}

async fn a_build_and_a_removal_wait_for_each_other(scratch: &Scratch) {
    let (db, hands) = clock(scratch);
    let w = world(&db).await;
    w.built(1..=2).await;
    let (other, fence) = w.building().await;
    assert_eq!(w.begin().await, None);
    assert!(!w.has_to_wait(other).await);
    w.succeed((other, fence), 3, 100 * DAY).await;
    let turn = w.begin().await.unwrap();
    assert_eq!(turn.images, [digest(1), digest(2)]);
    let build = w.building().await;
    assert!(w.has_to_wait(build.0).await);
    w.set_removed(&turn).await;
    assert!(!w.has_to_wait(build.0).await);
    // A turn that nobody ends is waited for no longer than it can do anything.
    sql("update image_removals set removed_at = null").execute(&db).await.unwrap();
    hands.store(turn.until, Ordering::SeqCst);
    assert!(w.has_to_wait(build.0).await);
    hands.store(turn.until + 1, Ordering::SeqCst);
    assert!(!w.has_to_wait(build.0).await);
}

async fn a_turn_that_died_is_followed_by_another(scratch: &Scratch) {
    let (db, hands) = clock(scratch);
    let w = world(&db).await;
    let made = w.built(1..=2).await;
    let first = w.begin().await.unwrap();
    hands.store(first.until + 1, Ordering::SeqCst);
    let second = w.begin().await.unwrap();
    assert_eq!((second.images.clone(), second.until), (first.images.clone(), first.until + 150_001));
    // What the first one says late counts no more.
    w.set_removed(&first).await;
    let removed_at = sql("select removed_at from image_removals");
    assert_eq!(removed_at.fetch_one(&db, |r| r.opt_int("removed_at")).await.unwrap(), None);
    w.set_removed(&second).await;
    let known = builds::get(&db, w.of.client, made[0]).await.unwrap().unwrap();
    assert_eq!(known.image_removed_at, Some(100 * DAY));
}

async fn what_a_build_makes_again_is_there_again(scratch: &Scratch) {
    let (db, hands) = clock(scratch);
    let w = world(&db).await;
    w.built(1..=3).await;
    let turn = w.begin().await.unwrap();
    w.set_removed(&Turn { images: vec![digest(1)], ..turn.clone() }).await;
    // One is removed, one was on its way out when its worker died.
    hands.store(turn.until + 1, Ordering::SeqCst);
    for image in [1, 2] {
        let build = w.building().await;
        assert!(!w.has_to_wait(build.0).await);
        w.succeed(build, image, 100 * DAY).await;
        assert!(!w.is_removed(image).await);
        // Nor does the late end of the turn make it gone.
        w.set_removed(&turn).await;
        assert!(!w.is_removed(image).await && w.deploy(image.into(), image, "pending").await);
    }
}

async fn a_refused_removal_is_taken_back(scratch: &Scratch) {
    let (db, _) = clock(scratch);
    let w = world(&db).await;
    w.built(1..=3).await;
    let turn = w.begin().await.unwrap();
    w.set_removed(&Turn { images: vec![digest(1)], ..turn.clone() }).await;
    let mut tx = db.begin().await.unwrap();
    image_removals::take_back(&mut tx, w.of, &turn, &turn.images).await.unwrap();
    tx.commit().await.unwrap();
    assert!(w.is_removed(1).await && !w.is_removed(2).await);
}

async fn an_image_is_deployed_or_removed_but_not_both(scratch: &Scratch) {
    let (db, _) = clock(scratch);
    let w = world(&db).await;
    for n in 1..=12 {
        w.built(n..=n).await;
        w.built(100 + n..=100 + n).await;
        let (deployed, turn) = tokio::join!(w.deploy(n.into(), n, "live"), w.begin());
        let removed = turn.unwrap().images.contains(&digest(n));
        assert!(deployed != removed, "round {n}: deployed {deployed}, removed {removed}");
    }
}

async fn apps_have_their_turns(scratch: &Scratch) {
    let (db, _) = clock(scratch);
    let w = world(&db).await;
    w.built(1..=1).await;
    let second = World { of: Of { app: add_app(&db, w.of.client).await, ..w.of }, db: db.clone(), ..w };
    second.built(1..=1).await;
    // One without images is never looked through.
    add_app(&db, w.of.client).await;
    assert_eq!(image_removals::due(&db, 50, 10).await.unwrap(), [w.of, second.of]);
    image_removals::set_swept(&db, w.of, 40).await.unwrap();
    assert_eq!(image_removals::due(&db, 50, 10).await.unwrap(), [second.of, w.of]);
    assert_eq!(image_removals::due(&db, 50, 1).await.unwrap(), [second.of]);
    assert_eq!(image_removals::due(&db, 39, 10).await.unwrap(), [second.of]);
}

async fn one_job_looks_after_the_registry(scratch: &Scratch) {
    let db = &scratch.db;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut tx = db.begin().await.unwrap();
        ids.push(enqueue(&mut tx, db, &NewJob::retention()).await.unwrap().id());
        tx.commit().await.unwrap();
    }
    assert_eq!(ids[0], ids[1]);
    assert!(is_active(db, JobKind::Retention, uuid::Uuid::nil()).await.unwrap());
}
