//! What a client asks for after a deployment: its end, or that of a managed service.

use std::time::{Duration, Instant};

use shared::{
    domain::DeploymentId,
    queue::{self, JobKind, NewJob},
    store::{Asked, deployments, services, sql},
};

use crate::world::World;

impl World {
    pub async fn stop(&self, id: DeploymentId) {
        let mut tx = self.db.begin().await.unwrap();
        assert_eq!(deployments::request_stop(&mut tx, &self.db, self.client, id).await.unwrap(), Asked::First);
        queue::enqueue(&mut tx, &self.db, &NewJob::new(JobKind::Deploy, id, self.client)).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn cancel(&self, id: DeploymentId) {
        let job = sql("select id from jobs where subject_id = $1 order by id desc limit 1");
        let job = job.text(id).fetch_one(&self.db, |r| r.parse("id")).await.unwrap();
        let mut tx = self.db.begin().await.unwrap();
        queue::cancel(&mut tx, &self.db, job).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn delete(&self, id: DeploymentId) {
        let mut tx = self.db.begin().await.unwrap();
        assert_eq!(deployments::request_delete(&mut tx, &self.db, self.client, id).await.unwrap(), Asked::First);
        queue::enqueue(&mut tx, &self.db, &NewJob::new(JobKind::Deploy, id, self.client)).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Deletes the app's managed services, and waits until they are gone.
    pub async fn delete_services(&self) {
        let all = services::of_app(&self.db, self.client, self.server, self.app).await.unwrap();
        let mut tx = self.db.begin().await.unwrap();
        for service in &all {
            services::request_delete(&mut tx, &self.db, self.client, service.id).await.unwrap();
            // One after the other, as the API has it.
            let exclusive_key = Some(self.server.to_string());
            let job = NewJob { exclusive_key, ..NewJob::new(JobKind::Service, service.id, self.client) };
            queue::enqueue(&mut tx, &self.db, &job).await.unwrap();
        }
        tx.commit().await.unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while !services::of_app(&self.db, self.client, self.server, self.app).await.unwrap().is_empty() {
            assert!(Instant::now() < until, "a service was not deleted");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
