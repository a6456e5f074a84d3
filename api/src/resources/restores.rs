//! Restores: backups on their way into a service or a volume that lives.
//!
//! Invariants: only a backup that was restored for a test is restored, and only into something of its kind; what lives is
//! backed up before, unless the client says that it need not be. Absent: restoring.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use shared::{
    backup::{self, Thing, thing},
    domain::{
        BackupId, RestoreId, ServerId, ServiceId,
        status::{BackupStatus, RestoreStatus},
    },
    queue::{NewJob, enqueue},
    store::{
        Tx, backup_targets,
        backups::{self, Backup},
        restores::{self, NewRestore, Restore},
    },
};

use super::backups::{BackupVolume, missing as no_backup, named, no_source, source};
use crate::{
    app::{App, Here},
    auth::{Admin, Reader},
    idempotency::{Accepted, Begun, Idempotency, begin},
    openapi::Tag,
    page::{Limit, Page},
    problem::Problem,
    quotas::{self, Counted},
    typed::{Moment, Typed},
    words::Word,
};

pub struct Restores;

#[derive(Object)]
#[oai(deny_unknown_fields)]
struct RestoreOrder {
    /// A service of the same kind; what the backup is of when absent.
    service_id: Option<Typed<ServiceId>>,
    /// A volume, for a backup of one; what the backup is of when absent.
    volume: Option<BackupVolume>,
    /// Do not back up what lives before. For a service that is too broken for that; what is in it is lost.
    skip_safety_backup: Option<bool>,
}

/// One restore.
#[derive(Object)]
#[oai(rename = "Restore")]
struct RestoreView {
    id: Typed<RestoreId>,
    backup_id: Typed<BackupId>,
    /// The backup of what lived before. It is taken first; the restore waits for it.
    #[oai(skip_serializing_if_is_none)]
    safety_backup_id: Option<Typed<BackupId>>,
    #[oai(skip_serializing_if_is_none)]
    service_id: Option<Typed<ServiceId>>,
    #[oai(skip_serializing_if_is_none)]
    volume: Option<BackupVolume>,
    server_id: Typed<ServerId>,
    status: Word<RestoreStatus>,
    #[oai(skip_serializing_if_is_none)]
    error_code: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    error_message: Option<String>,
    created_at: Moment,
    #[oai(skip_serializing_if_is_none)]
    started_at: Option<Moment>,
    #[oai(skip_serializing_if_is_none)]
    finished_at: Option<Moment>,
}

fn view(r: Restore) -> RestoreView {
    let (service_id, volume) = named(r.source);
    RestoreView {
        id: Typed(r.id),
        backup_id: Typed(r.backup),
        safety_backup_id: r.safety.map(Typed),
        service_id,
        volume,
        server_id: Typed(r.server),
        status: Word(r.status),
        error_code: r.error_code,
        error_message: r.error_message,
        created_at: Moment(r.created_at),
        started_at: r.started_at.map(Moment),
        finished_at: r.finished_at.map(Moment),
    }
}

fn missing() -> Problem {
    Problem::not_found("restore")
}

/// What the backup may be restored into.
async fn into(tx: &mut Tx, backup: &Backup, body: RestoreOrder) -> Result<Thing, Problem> {
    let source = match (body.service_id, body.volume) {
        (None, None) => backup.source.clone(),
        (service, volume) => source(service, volume)?,
    };
    let found = thing(&mut *tx, backup.client, &source).await?;
    let into = found.ok_or_else(|| no_source(&source))?;
    if into.kind != backup.kind {
        let detail = format!("A backup of {} cannot be restored into {}.", backup.kind, into.kind);
        return Err(Problem::conflict("backup_kind_mismatch", detail));
    }
    if restores::is_active(tx, backup.client, &source).await? {
        return Err(Problem::conflict("restore_active", "Another restore into it is under way."));
    }
    Ok(into)
}

async fn order(app: &App, tx: &mut Tx, backup: &Backup, body: RestoreOrder) -> Result<RestoreId, Problem> {
    if backup.status != BackupStatus::Verified || backup.delete_requested_at.is_some() {
        let detail = "Only a backup that is `verified`, and not being removed, can be restored.";
        return Err(Problem::conflict("backup_not_verified", detail));
    }
    let client = backup.client;
    let target = backup_targets::lock(tx, client, backup.target).await?.ok_or_else(Problem::internal)?;
    let with_safety = !body.skip_safety_backup.unwrap_or(false);
    let into = into(tx, backup, body).await?;
    let safety = match with_safety {
        false => None,
        true => Some(backup::request(tx, &app.db, &into, &target, None).await?),
    };
    let id = RestoreId::new();
    let new = NewRestore { id, client, backup: backup.id, safety, source: into.source, server: into.server };
    restores::insert(tx, &app.db, &new).await?;
    let job = enqueue(tx, &app.db, &NewJob::restore(client, id, into.server)).await?.id();
    restores::set_job(tx, client, id, job).await?;
    quotas::check(app, tx, client, Counted::QueuedJobs).await?;
    Ok(id)
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Backups")]
impl Restores {
    /// Restore a backup
    ///
    /// It goes into a place of its own beside what lives, and takes that one's place in one step: connections to a database
    /// end then, and containers that have a volume open are stopped meanwhile. What lives is backed up before. Needs scope `admin`.
    #[oai(path = "/backups/:backup_id/restore", method = "post", operation_id = "restore_backup")]
    async fn restore(
        &self,
        caller: Admin,
        app: Here,
        backup_id: Path<Typed<BackupId>>,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
        body: Json<RestoreOrder>,
    ) -> Result<Accepted<RestoreView>, Problem> {
        let client = caller.client;
        let mut once = match begin(&app, client, once).await? {
            Begun::Replay(answer) => return Ok(answer),
            Begun::New(once) => once,
        };
        let backup = backups::get(&mut once.tx, client, backup_id.0.0).await?.ok_or_else(no_backup)?;
        let id = order(&app, &mut once.tx, &backup, body.0).await?;
        let made = restores::get(&mut once.tx, client, id).await?.ok_or_else(Problem::internal)?;
        once.finish(&app, format!("/v1/restores/{id}"), view(made)).await
    }

    /// List restores
    ///
    /// Needs scope `read`.
    #[oai(path = "/restores", method = "get", operation_id = "list_restores")]
    async fn list(
        &self,
        caller: Reader,
        app: Here,
        cursor: Query<Option<Typed<RestoreId>>>,
        limit: Query<Limit>,
    ) -> Result<Json<Page<RestoreView>>, Problem> {
        let rows = restores::list(&app.db, caller.client, cursor.0.map(|c| c.0), limit.rows()).await?;
        Ok(Json(limit.page(rows, |restore| restore.id.to_string(), view)))
    }

    /// Show a restore
    ///
    /// Needs scope `read`.
    #[oai(path = "/restores/:restore_id", method = "get", operation_id = "get_restore")]
    async fn get(
        &self,
        caller: Reader,
        app: Here,
        restore_id: Path<Typed<RestoreId>>,
    ) -> Result<Json<RestoreView>, Problem> {
        let found = restores::get(&app.db, caller.client, restore_id.0.0).await?;
        Ok(Json(view(found.ok_or_else(missing)?)))
    }
}
