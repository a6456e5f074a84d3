//! A server that is removed while deployments work on it.

use std::time::{Duration, Instant};

use shared::{
    domain::{
        AppId, DeploymentId, JobId, Port, ServerId,
        release::{FrozenImage, ReleasePlan},
        status::ServerStatus,
    },
    providers::{Local, Provider},
    queue::{self, Handler, JobKind, NewJob},
    store::{
        deployments::{self, NewDeployment},
        sql,
    },
};

use crate::world::{World, world};

/// A deployment on a server with a job in the queue.
async fn deployment(world: &World, server: ServerId, app: AppId) -> JobId {
    let id = DeploymentId::new();
    let mut tx = world.db.begin().await.unwrap();
    let new = NewDeployment {
        id,
        client: world.client,
        app,
        customer: world.customer,
        server,
        build: None,
        sequence: deployments::next_sequence(&mut tx, world.client, server, app).await.unwrap(),
        image_tag: None,
        plan: plan(),
        prepared: false,
        env_sealed: String::new(),
    };
    deployments::insert(&mut tx, &world.db, &new).await.unwrap();
    let new = NewJob::new(JobKind::Deploy, id, world.client);
    let job = queue::enqueue(&mut tx, &world.db, &new).await.unwrap().id();
    tx.commit().await.unwrap();
    job
}

async fn state(world: &World, job: JobId) -> (String, bool) {
    let job = queue::get(&world.db, job).await.unwrap().unwrap();
    (job.state.to_string(), job.cancel_requested_at.is_some())
}

#[tokio::test]
async fn nothing_is_removed_before_the_last_deployment_has_ended() {
    let Some(world) = world("draining", "byop/vps:1").await else { return };
    let worker = world.handler();
    let (id, app) = (world.server().await, AppId::new());
    sql("insert into apps (id, client_id, slug, git_url, git_branch, created_at, updated_at)
         values ($1, $2, 'a', 'g', 'b', 0, 0)")
    .text(app)
    .text(world.client)
    .execute(&world.db)
    .await
    .unwrap();
    worker.run(&world.lease(id, 1).await).await.unwrap();
    let (waiting, running) = (deployment(&world, id, app).await, deployment(&world, id, app).await);
    world.claim(running, 1).await;
    sql("update jobs set lease_until = $1 where id = $2").int(i64::MAX).text(running).execute(&world.db).await.unwrap();
    world.ask_delete(id).await;
    let lease = world.lease(id, 1).await;
    let told = async {
        let until = Instant::now() + Duration::from_secs(30);
        while state(&world, running).await != ("running".to_owned(), true) {
            assert!(Instant::now() < until, "the running job was not told");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(state(&world, waiting).await.0, "cancelled");
        assert_eq!(world.load(id).await.status, ServerStatus::Draining);
        assert!(Local::new(world.settings.local.clone().unwrap()).exists(id).await.unwrap());
        sql("update jobs set state = 'cancelled', lease_owner = null, finished_at = 1 where id = $1")
            .text(running)
            .execute(&world.db)
            .await
            .unwrap();
    };
    let (removed, ()) = tokio::join!(worker.run(&lease), told);
    removed.unwrap();
    assert_eq!(world.load(id).await.status, ServerStatus::Deleted);
    world.assert_gone(id).await;
}

fn plan() -> ReleasePlan {
    let digest = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
    let image = FrozenImage::Built { repository: "r".into(), digest };
    let domain = "shop.example.com".parse().unwrap();
    ReleasePlan::single(image, Port::saturating(80), "/".parse().unwrap(), domain)
}
