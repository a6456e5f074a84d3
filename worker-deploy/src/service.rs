//! Deleting a managed service with everything in it.
//!
//! Invariant: its row goes after it, so one that is not gone can be asked for again; nothing of another service or of a
//! release is touched. Absent: whether somebody needs it, which the API decides before.

use std::time::Duration;

use async_trait::async_trait;
use shared::{
    crash::around,
    domain::{ServiceId, status::ServerStatus},
    failure::Failure,
    generate, login,
    queue::{Handler, Job, JobError, Lease},
    ssh::Exec,
    store::{
        Db, Fence, Patience, deployments, servers,
        services::{self, Service},
    },
};

use crate::{release, settings::Settings};

/// A database may take its time to end.
const LIMIT: Duration = Duration::from_secs(300);

/// Arguments: the service's project, its directory, and of an app of which nothing else is left its network and directory.
const REMOVE: &str = r#"set -eu
file=$2/compose.yaml
[ ! -s "$file" ] || docker compose --ansi never -p "$1" -f "$file" down --volumes --remove-orphans >&2
of() { docker "$1" ls -q $2 --filter "label=com.docker.compose.project=$3"; }
of container -a "$1" | xargs -r docker rm -f >/dev/null
of volume "" "$1" | xargs -r docker volume rm >/dev/null
of network "" "$1" | xargs -r docker network rm >/dev/null
rm -rf "$2"
[ -n "${3:-}" ] || exit 0
docker network rm "$3" >/dev/null 2>&1 || ! docker network inspect "$3" >/dev/null 2>&1
rm -rf "$4"
"#;

/// Runs the jobs that delete managed services.
pub struct ServiceWorker {
    db: Db,
    settings: Settings,
}

#[async_trait]
impl Handler for ServiceWorker {
    async fn run(&self, lease: &Lease) -> Result<(), JobError> {
        let (id, fence) = (ServiceId(lease.job.subject), lease.fence());
        tokio::select! {
            done = self.delete(fence, id) => Ok(done?),
            _ = lease.stopped() => Err(JobError::Stopped),
        }
    }

    /// It stays, and is shown as one that was to go: its client may ask again.
    async fn abandoned(&self, _: &Job, _: &str, _: &str) -> Result<(), JobError> {
        Ok(())
    }
}

impl ServiceWorker {
    pub fn new(db: Db, settings: Settings) -> Self {
        Self { db, settings }
    }

    async fn delete(&self, fence: Fence, id: ServiceId) -> Result<(), Failure> {
        let Some(service) = services::load_unfenced(&self.db, id).await? else { return Ok(()) };
        if service.delete_requested_at.is_none() {
            return Ok(());
        }
        around("deleting-service", self.remove(&service)).await?;
        let mut patience = Patience::default();
        loop {
            match self.forget(fence, id).await {
                Err(e) if patience.bears(&e).await => {}
                Ok(true) => return Ok(()),
                Ok(false) => return Err(Failure::Stopped),
                Err(e) => return Err(e.into()),
            }
        }
    }

    async fn forget(&self, fence: Fence, id: ServiceId) -> Result<bool, shared::store::DbError> {
        let mut tx = self.db.begin().await?;
        let gone = services::set_deleted(&mut tx, &self.db, fence, id).await?;
        Ok(gone && tx.commit_under(fence).await?)
    }

    async fn remove(&self, service: &Service) -> Result<(), Failure> {
        let server = servers::load_unfenced(&self.db, service.server).await?;
        let there = server.filter(|s| matches!(s.status, ServerStatus::Ready | ServerStatus::Stopped));
        let Some(server) = there else { return Ok(()) };
        let session = login::connect(&self.settings.master_key, &server, self.settings.dev_mode).await?;
        let mut args = vec![release::service_project(service.id), release::service_dir(service.app, service.id)];
        if self.is_last(service).await? {
            args.extend([generate::app_network(service.app), release::app_dir(service.app)]);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        session.script(REMOVE, &args, Exec { timeout: LIMIT, ..Exec::default() }).await?;
        session.close().await;
        Ok(())
    }

    /// Whether nothing else of its app is on the server, or is to come.
    async fn is_last(&self, service: &Service) -> Result<bool, Failure> {
        let releases = deployments::on_server(&self.db, service.server, service.app).await?;
        let others = services::of_app(&self.db, service.client, service.server, service.app).await?;
        Ok(!releases.iter().any(|d| d.status.is_there()) && others.iter().all(|other| other.id == service.id))
    }
}
