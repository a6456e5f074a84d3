//! Backups, on demand and of policies, and their way back.
//!
//! Invariants: only a backup that was restored for a test can be restored; what lives is backed up before, unless the client
//! does not want that. Absent: doing any of it.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use shared::{
    backup::{self, scripts, thing},
    domain::{
        AppId, BackupId, BackupKind, BackupPolicyId, BackupSource, BackupTargetId, Proof, ServerId, ServiceId,
        component::ComponentName, status::BackupStatus,
    },
    queue::{NewJob, cancel, enqueue},
    store::{
        backup_policies, backup_targets,
        backups::{self, Backup, Which},
    },
};

use super::Gone;
use crate::{
    app::Here,
    auth::{Admin, Deployer, Reader},
    idempotency::{Accepted, Begun, Idempotency, begin},
    openapi::Tag,
    page::{Limit, Page},
    problem::Problem,
    quotas::{self, Counted},
    typed::{Moment, Typed},
    words::Word,
};

pub struct Backups;

#[derive(Object)]
#[oai(deny_unknown_fields)]
struct NewBackup {
    /// Either this or `volume`.
    service_id: Option<Typed<ServiceId>>,
    volume: Option<BackupVolume>,
    /// That of the policy when absent.
    target_id: Option<Typed<BackupTargetId>>,
}

/// A volume of an app on a server.
#[derive(Clone, Object)]
#[oai(deny_unknown_fields)]
pub(super) struct BackupVolume {
    server_id: Typed<ServerId>,
    app_id: Typed<AppId>,
    /// As components name it.
    name: Typed<ComponentName>,
}

/// What a test restore found, all of which was read: tables and rows of a database, files and bytes of a volume.
#[derive(Object)]
struct BackupProof {
    #[oai(skip_serializing_if_is_none)]
    tables: Option<i64>,
    #[oai(skip_serializing_if_is_none)]
    rows: Option<i64>,
    #[oai(skip_serializing_if_is_none)]
    files: Option<i64>,
    #[oai(skip_serializing_if_is_none)]
    bytes: Option<i64>,
}

/// What is named by exactly one of the two.
pub(super) fn source(service: Option<Typed<ServiceId>>, volume: Option<BackupVolume>) -> Result<BackupSource, Problem> {
    match (service, volume) {
        (Some(id), None) => Ok(BackupSource::Service(id.0)),
        (None, Some(v)) => Ok(BackupSource::Volume { server: v.server_id.0, app: v.app_id.0, name: v.name.0 }),
        _ => Err(Problem::invalid("invalid_body", "Either `service_id` or `volume` is needed.")),
    }
}

/// The other way round.
pub(super) fn named(source: BackupSource) -> (Option<Typed<ServiceId>>, Option<BackupVolume>) {
    match source {
        BackupSource::Service(id) => (Some(Typed(id)), None),
        BackupSource::Volume { server, app, name } => {
            (None, Some(BackupVolume { server_id: Typed(server), app_id: Typed(app), name: Typed(name) }))
        }
    }
}

pub(super) fn no_source(source: &BackupSource) -> Problem {
    Problem::not_found(match source {
        BackupSource::Service(_) => "service",
        BackupSource::Volume { .. } => "app on the server",
    })
}

fn shown(kind: BackupKind, proof: &Proof) -> BackupProof {
    let (tables, files) = match kind {
        BackupKind::Volume => (None, Some(proof.things)),
        _ => (Some(proof.things), None),
    };
    BackupProof { tables, rows: tables.map(|_| proof.contents), files, bytes: files.map(|_| proof.contents) }
}

/// One backup.
#[derive(Object)]
#[oai(rename = "Backup")]
struct BackupView {
    id: Typed<BackupId>,
    target_id: Typed<BackupTargetId>,
    /// The policy that asked for it. It may be gone.
    #[oai(skip_serializing_if_is_none)]
    policy_id: Option<Typed<BackupPolicyId>>,
    #[oai(skip_serializing_if_is_none)]
    service_id: Option<Typed<ServiceId>>,
    #[oai(skip_serializing_if_is_none)]
    volume: Option<BackupVolume>,
    kind: Word<BackupKind>,
    server_id: Typed<ServerId>,
    app_id: Typed<AppId>,
    status: Word<BackupStatus>,
    /// The object in the bucket, once it is complete.
    #[oai(skip_serializing_if_is_none)]
    object_key: Option<String>,
    /// Of the object, encrypted.
    #[oai(skip_serializing_if_is_none)]
    size_bytes: Option<i64>,
    #[oai(skip_serializing_if_is_none)]
    proof: Option<BackupProof>,
    #[oai(skip_serializing_if_is_none)]
    error_code: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    error_message: Option<String>,
    /// It is being removed since then.
    #[oai(skip_serializing_if_is_none)]
    delete_requested_at: Option<Moment>,
    created_at: Moment,
    #[oai(skip_serializing_if_is_none)]
    started_at: Option<Moment>,
    #[oai(skip_serializing_if_is_none)]
    uploaded_at: Option<Moment>,
    #[oai(skip_serializing_if_is_none)]
    finished_at: Option<Moment>,
}

fn view(b: Backup) -> BackupView {
    let (service_id, volume) = named(b.source);
    BackupView {
        id: Typed(b.id),
        target_id: Typed(b.target),
        policy_id: b.policy.map(Typed),
        service_id,
        volume,
        kind: Word(b.kind),
        server_id: Typed(b.server),
        app_id: Typed(b.app),
        status: Word(b.status),
        object_key: b.key,
        size_bytes: b.bytes,
        proof: b.proof.map(|proof| shown(b.kind, &proof)),
        error_code: b.error_code,
        error_message: b.error_message,
        delete_requested_at: b.delete_requested_at.map(Moment),
        created_at: Moment(b.created_at),
        started_at: b.started_at.map(Moment),
        uploaded_at: b.uploaded_at.map(Moment),
        finished_at: b.finished_at.map(Moment),
    }
}

pub(super) fn missing() -> Problem {
    Problem::not_found("backup")
}

/// Refuses what this version cannot back up.
pub(super) fn unsupported(kind: BackupKind) -> Result<(), Problem> {
    match scripts(kind) {
        Some(_) => Ok(()),
        None => Err(Problem::invalid("backup_kind_unsupported", format!("A {kind} service cannot be backed up yet."))),
    }
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Backups")]
impl Backups {
    /// Back a service or a volume up
    ///
    /// One that is on its way already is answered instead of another one. Needs scope `deploy`.
    #[oai(path = "/backups", method = "post", operation_id = "create_backup")]
    async fn create(
        &self,
        caller: Deployer,
        app: Here,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
        body: Json<NewBackup>,
    ) -> Result<Accepted<BackupView>, Problem> {
        let NewBackup { service_id, volume, target_id } = body.0;
        let (client, source) = (caller.client, source(service_id, volume)?);
        let mut once = match begin(&app, client, once).await? {
            Begun::Replay(answer) => return Ok(answer),
            Begun::New(once) => once,
        };
        let tx = &mut once.tx;
        let thing = thing(&mut *tx, client, &source).await?.ok_or_else(|| no_source(&source))?;
        unsupported(thing.kind)?;
        let target = match target_id {
            Some(id) => id.0,
            None => {
                backup_policies::of_source(&mut *tx, client, &source).await?.map(|policy| policy.target).ok_or_else(
                    || Problem::invalid("invalid_body", "There is no backup policy for it, so `target_id` is needed."),
                )?
            }
        };
        let target = backup_targets::lock(tx, client, target).await?;
        let target = target.ok_or_else(|| Problem::not_found("backup target"))?;
        let id = match backups::active(&mut *tx, client, &source).await? {
            Some(active) => active.id,
            None => backup::request(tx, &app.db, &thing, &target, None).await?,
        };
        quotas::check(&app, tx, client, Counted::QueuedJobs).await?;
        let made = backups::get(&mut *tx, client, id).await?.ok_or_else(Problem::internal)?;
        once.finish(&app, format!("/v1/backups/{id}"), view(made)).await
    }

    /// List backups
    ///
    /// Needs scope `read`.
    #[oai(path = "/backups", method = "get", operation_id = "list_backups")]
    async fn list(
        &self,
        caller: Reader,
        app: Here,
        service_id: Query<Option<Typed<ServiceId>>>,
        status: Query<Option<Word<BackupStatus>>>,
        cursor: Query<Option<Typed<BackupId>>>,
        limit: Query<Limit>,
    ) -> Result<Json<Page<BackupView>>, Problem> {
        let which = Which {
            source: service_id.0.map(|id| BackupSource::Service(id.0)),
            status: status.0.map(|status| status.0),
            before: cursor.0.map(|c| c.0),
        };
        let rows = backups::list(&app.db, caller.client, &which, limit.rows()).await?;
        Ok(Json(limit.page(rows, |backup| backup.id.to_string(), view)))
    }

    /// Show a backup
    ///
    /// Needs scope `read`.
    #[oai(path = "/backups/:backup_id", method = "get", operation_id = "get_backup")]
    async fn get(
        &self,
        caller: Reader,
        app: Here,
        backup_id: Path<Typed<BackupId>>,
    ) -> Result<Json<BackupView>, Problem> {
        let found = backups::get(&app.db, caller.client, backup_id.0.0).await?;
        Ok(Json(view(found.ok_or_else(missing)?)))
    }

    /// Delete a backup
    ///
    /// Its object is removed, and then what the engine knows of it. One that is on its way is ended. Needs scope `admin`.
    #[oai(path = "/backups/:backup_id", method = "delete", operation_id = "delete_backup")]
    async fn delete(&self, caller: Admin, app: Here, backup_id: Path<Typed<BackupId>>) -> Result<Gone, Problem> {
        let client = caller.client;
        let mut tx = app.db.begin().await?;
        let backup = backups::get(&mut tx, client, backup_id.0.0).await?.ok_or_else(missing)?;
        if !backups::request_delete(&mut tx, &app.db, client, backup.id).await? {
            return Err(Problem::conflict("backup_in_use", "A restore that is under way needs it."));
        }
        // A job that makes it ends, and the sweep asks for another one that removes it.
        if let Some(job) = backup.job {
            cancel(&mut tx, &app.db, job).await?;
        }
        enqueue(&mut tx, &app.db, &NewJob::backup(client, backup.id, &backup.source)).await?;
        tx.commit().await?;
        Ok(Gone::Gone)
    }
}
