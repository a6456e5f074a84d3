//! What the store says about backups, policies and restores, on both databases.

use serde_json::json;
use shared::{
    backup::{ask_for_due, clean, request, thing},
    domain::{
        BackupPolicyId, BackupSource, BackupTargetId, ClientId, JobId, Proof, ServerId, ServiceId,
        component::ComponentKind, status::BackupStatus,
    },
    queue::NewJob,
    store::{
        Db, Fence,
        backup_policies::{self, Policy},
        backup_targets::{self, Target},
        backups::{self, Backup, Ending, Step, Which},
        restores::{self, NewRestore},
        scratch::{Scratch, Tenant},
        services, sql,
    },
};

shared::on_both_databases! {
    a_backup_moves_on_only_under_its_fence,
    a_failed_backup_is_told_of_once,
    a_moment_of_a_schedule_is_taken_once,
    what_was_missed_is_made_once_and_what_is_kept_is_limited,
    what_is_needed_is_not_removed,
}

struct World {
    db: Db,
    client: ClientId,
    source: BackupSource,
    server: ServerId,
    target: Target,
}

async fn world(db: &Db) -> World {
    let Tenant { client, customer, server, app } = Tenant::new(db).await;
    let target = Target {
        id: BackupTargetId::new(),
        client,
        name: "t".into(),
        endpoint: "https://s3.example.com/".into(),
        region: "eu-1".parse().unwrap(),
        bucket: "shop".parse().unwrap(),
        prefix: "byop/".parse().unwrap(),
        key_id: "KEY".parse().unwrap(),
        secret_sealed: "sealed".into(),
        created_at: 0,
        updated_at: 0,
    };
    let service = services::Service {
        id: ServiceId::new(),
        client,
        app,
        customer,
        server,
        component: "db".parse().unwrap(),
        kind: ComponentKind::Postgres,
        version: "17".parse().unwrap(),
        password_sealed: "sealed".into(),
        created_at: 0,
        delete_requested_at: None,
    };
    let mut tx = db.begin().await.unwrap();
    services::insert_missing(&mut tx, &service).await.unwrap();
    backup_targets::insert(&mut tx, &target).await.unwrap();
    tx.commit().await.unwrap();
    World { db: db.clone(), client, source: BackupSource::Service(service.id), server, target }
}

impl World {
    async fn ask(&self) -> Backup {
        let mut tx = self.db.begin().await.unwrap();
        let thing = thing(&mut tx, self.client, &self.source).await.unwrap().expect("the service");
        let id = request(&mut tx, &self.db, &thing, &self.target, None).await.unwrap();
        tx.commit().await.unwrap();
        backups::get(&self.db, self.client, id).await.unwrap().expect("the backup")
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

    async fn now(&self, backup: &Backup) -> Backup {
        backups::get(&self.db, self.client, backup.id).await.unwrap().expect("the backup")
    }

    async fn events(&self) -> Vec<serde_json::Value> {
        let all = sql("select data from events where client_id = $1 and type = 'backup.failed' order by id");
        all.text(self.client).fetch_all(&self.db, |r| r.parse("data")).await.unwrap()
    }
}

async fn a_backup_moves_on_only_under_its_fence(s: &Scratch) {
    let w = world(&s.db).await;
    let backup = w.ask().await;
    assert!(
        backup.stem.starts_with("byop/service-") && backup.stem.ends_with(&format!("Z-{}-", backup.id)),
        "{}",
        backup.stem
    );
    let lost = w.claimed(backup.job.unwrap(), 1).await;
    let fence = w.claimed(backup.job.unwrap(), 2).await;
    assert!(!backups::advance(&w.db, lost, backup.id, Step::Running).await.unwrap());
    assert!(backups::load(&w.db, lost, backup.id).await.unwrap().is_none());
    let early = Step::Uploaded { key: "k", bytes: 1 };
    assert!(!backups::advance(&w.db, fence, backup.id, early).await.unwrap(), "not before it runs");
    assert!(backups::advance(&w.db, fence, backup.id, Step::Running).await.unwrap());
    assert!(backups::advance(&w.db, fence, backup.id, Step::Running).await.unwrap(), "a later attempt begins again");
    assert!(backups::advance(&w.db, fence, backup.id, early).await.unwrap());
    let proof = Proof { things: 2, contents: 3 };
    assert!(!backups::end(&w.db, lost, &backup, Ending::Verified(&proof)).await.unwrap());
    assert_eq!(w.now(&backup).await.status, BackupStatus::Uploaded);
    assert!(backups::end(&w.db, fence, &backup, Ending::Verified(&proof)).await.unwrap());
    let done = w.now(&backup).await;
    assert_eq!((done.status, done.proof, done.key.as_deref()), (BackupStatus::Verified, Some(proof), Some("k")));
    assert!(!backups::end_unfenced(&w.db, &backup, "x", "y").await.unwrap(), "a good backup stays good");
    assert!(w.events().await.is_empty());
    // Its row goes only when somebody asked for that.
    assert!(!backups::remove(&w.db, fence, backup.id).await.unwrap());
    let mut tx = w.db.begin().await.unwrap();
    assert!(backups::request_delete(&mut tx, &w.db, w.client, backup.id).await.unwrap());
    tx.commit().await.unwrap();
    assert!(!backups::remove(&w.db, lost, backup.id).await.unwrap());
    assert!(backups::remove(&w.db, fence, backup.id).await.unwrap());
}

async fn a_failed_backup_is_told_of_once(s: &Scratch) {
    let w = world(&s.db).await;
    let backup = w.ask().await;
    let fence = w.claimed(backup.job.unwrap(), 1).await;
    backups::note_failure(&w.db, fence, backup.id, "storage_refused", "403").await.unwrap();
    assert!(!backups::end_unfenced(&w.db, &backup, "gave_up", "y").await.unwrap(), "its job runs");
    let ending = Ending::Failed { code: "storage_refused", message: "403 AccessDenied" };
    let lost = Fence { attempt: 7, ..fence };
    assert!(!backups::end(&w.db, lost, &backup, ending).await.unwrap());
    assert!(w.events().await.is_empty(), "what was not written was not told");
    assert!(backups::end(&w.db, fence, &backup, ending).await.unwrap());
    assert!(!backups::end(&w.db, fence, &backup, ending).await.unwrap());
    let events = w.events().await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["backup_id"], json!(backup.id));
    assert_eq!((&events[0]["code"], &events[0]["message"]), (&json!("storage_refused"), &json!("403 AccessDenied")));
    let mut tx = w.db.begin().await.unwrap();
    assert!(backups::begin_again(&mut tx, backup.id).await.unwrap());
    tx.commit().await.unwrap();
    let again = w.now(&backup).await;
    assert_eq!((again.status, again.error_code), (BackupStatus::Queued, None));
}

fn policy(w: &World) -> Policy {
    Policy {
        id: BackupPolicyId::new(),
        client: w.client,
        target: w.target.id,
        source: w.source.clone(),
        schedule: "0 3 * * *".parse().unwrap(),
        keep_count: Some(1),
        keep_days: None,
        enabled: true,
        next_at: 1000,
        created_at: 0,
        updated_at: 0,
    }
}

async fn a_moment_of_a_schedule_is_taken_once(s: &Scratch) {
    let w = world(&s.db).await;
    let policy = policy(&w);
    let mut tx = w.db.begin().await.unwrap();
    assert!(backup_policies::insert(&mut tx, &policy).await.unwrap());
    assert!(!backup_policies::insert(&mut tx, &Policy { id: BackupPolicyId::new(), ..policy.clone() }).await.unwrap());
    assert!(!backup_targets::delete(&mut tx, &w.db, w.client, w.target.id).await.unwrap(), "a policy names it");
    tx.commit().await.unwrap();
    assert!(backup_policies::due(&w.db, 999, 10).await.unwrap().is_empty());
    let due = backup_policies::due(&w.db, 1000, 10).await.unwrap();
    assert_eq!(due.len(), 1);
    for (taken, next) in [(true, 5000), (false, 6000)] {
        let mut tx = w.db.begin().await.unwrap();
        assert_eq!(backup_policies::take(&mut tx, &due[0], next).await.unwrap(), taken);
        tx.commit().await.unwrap();
    }
    assert_eq!(backup_policies::of_source(&w.db, w.client, &w.source).await.unwrap().unwrap().next_at, 5000);
    let off = Policy { enabled: false, ..due[0].clone() };
    let mut tx = w.db.begin().await.unwrap();
    assert!(backup_policies::update(&mut tx, &off).await.unwrap());
    tx.commit().await.unwrap();
    assert!(backup_policies::due(&w.db, i64::MAX, 10).await.unwrap().is_empty());
    assert_eq!(backup_policies::walk(&w.db, None, 10).await.unwrap().len(), 1);
    assert!(backup_policies::walk(&w.db, Some(policy.id), 10).await.unwrap().is_empty());
}

async fn what_was_missed_is_made_once_and_what_is_kept_is_limited(s: &Scratch) {
    let w = world(&s.db).await;
    let policy = policy(&w);
    let mut tx = w.db.begin().await.unwrap();
    assert!(backup_policies::insert(&mut tx, &policy).await.unwrap());
    tx.commit().await.unwrap();
    let all = || async { backups::list(&w.db, w.client, &Which::default(), 10).await.unwrap() };
    // Since 1970 its time came many times.
    for _ in 0..2 {
        ask_for_due(&w.db).await.unwrap();
        assert_eq!(all().await.len(), 1);
    }
    let next = backup_policies::of_source(&w.db, w.client, &w.source).await.unwrap().unwrap().next_at;
    assert!(next > w.db.now_ms() && next <= w.db.now_ms() + 24 * 3600 * 1000, "{next}");
    // The next time comes while the first backup is on its way still.
    let due = "update backup_policies set next_at = 1";
    sql(due).execute(&w.db).await.unwrap();
    ask_for_due(&w.db).await.unwrap();
    assert_eq!(all().await.len(), 1);
    for _ in 0..2 {
        sql("update backups set status = 'verified', finished_at = 1 where status = 'queued'")
            .execute(&w.db)
            .await
            .unwrap();
        sql("update jobs set state = 'succeeded', finished_at = 1").execute(&w.db).await.unwrap();
        sql(due).execute(&w.db).await.unwrap();
        ask_for_due(&w.db).await.unwrap();
    }
    // Two good ones, of which one is kept, and one that is on its way.
    clean(&w.db).await.unwrap();
    let gone: Vec<_> = all().await.iter().map(|b| (b.status, b.delete_requested_at.is_some())).collect();
    use BackupStatus as S;
    assert_eq!(gone, [(S::Queued, false), (S::Verified, false), (S::Verified, true)]);
    // Its removal has a job, and only one.
    for _ in 0..2 {
        clean(&w.db).await.unwrap();
        let jobs = sql("select count(*) as n from jobs where kind = 'backup' and state = 'queued'");
        assert_eq!(jobs.fetch_one(&w.db, |r| r.int("n")).await.unwrap(), 2);
    }
}

async fn what_is_needed_is_not_removed(s: &Scratch) {
    let w = world(&s.db).await;
    let backup = w.ask().await;
    assert_eq!(backups::active(&w.db, w.client, &w.source).await.unwrap().unwrap().id, backup.id);
    let id = shared::domain::RestoreId::new();
    let mut tx = w.db.begin().await.unwrap();
    let new = NewRestore {
        id,
        client: w.client,
        backup: backup.id,
        safety: None,
        source: w.source.clone(),
        server: w.server,
    };
    restores::insert(&mut tx, &w.db, &new).await.unwrap();
    let job = shared::queue::enqueue(&mut tx, &w.db, &NewJob::restore(w.client, id, w.server)).await.unwrap().id();
    restores::set_job(&mut tx, w.client, id, job).await.unwrap();
    assert!(!backups::request_delete(&mut tx, &w.db, w.client, backup.id).await.unwrap());
    tx.commit().await.unwrap();
    assert!(restores::is_active(&w.db, w.client, &w.source).await.unwrap());
    let fence = w.claimed(job, 1).await;
    use shared::domain::status::RestoreStatus as R;
    assert!(!restores::advance(&w.db, fence, id, R::Succeeded, None).await.unwrap(), "not before it runs");
    assert!(restores::advance(&w.db, fence, id, R::Running, None).await.unwrap());
    assert!(!restores::fail_unfenced(&w.db, id, "gave_up", "x").await.unwrap(), "its job runs");
    assert!(restores::advance(&w.db, fence, id, R::Failed, Some(("disk_full", "full"))).await.unwrap());
    let ended = restores::get(&w.db, w.client, id).await.unwrap().unwrap();
    assert_eq!((ended.status, ended.error_code.as_deref()), (R::Failed, Some("disk_full")));
    let mut tx = w.db.begin().await.unwrap();
    assert!(backups::request_delete(&mut tx, &w.db, w.client, backup.id).await.unwrap());
    tx.commit().await.unwrap();
    assert!(backups::active(&w.db, w.client, &w.source).await.unwrap().is_none());
    // Its first job is in the queue still; once that is over, another one is needed.
    let none = |since| backups::unremoved(&w.db, since, 10);
    assert!(none(0).await.unwrap().is_empty());
    sql("update jobs set state = 'cancelled', finished_at = 500 where id = $1")
        .text(backup.job.unwrap())
        .execute(&w.db)
        .await
        .unwrap();
    assert!(none(0).await.unwrap().is_empty(), "it ended a moment ago");
    assert_eq!(none(500).await.unwrap().len(), 1);
    assert_eq!(backups::list(&w.db, w.client, &Which::default(), 10).await.unwrap().len(), 1);
}
