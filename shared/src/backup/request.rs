//! Asking for a backup: by a client, by a schedule, before a restore.
//!
//! Invariant: the row and its job are written in the caller's transaction. Absent: whether the client may.

use time::{OffsetDateTime, macros::format_description};

use crate::{
    domain::{AppId, BackupId, BackupKind, BackupPolicyId, BackupSource, ClientId, ServerId},
    queue::{NewJob, enqueue},
    store::{
        Db, DbError, On, Tx,
        backup_targets::Target,
        backups::{self, NewBackup},
        deployments, services,
    },
};

/// Something that can be backed up, and where it stands.
#[derive(Clone, Debug)]
pub struct Thing {
    pub client: ClientId,
    pub source: BackupSource,
    pub kind: BackupKind,
    pub server: ServerId,
    pub app: AppId,
}

/// What a source names; `None` when the client has no such thing. Of a volume that is an app that was deployed to the server:
/// whether it has a volume of the name only the server knows.
pub async fn thing(on: impl Into<On<'_>>, client: ClientId, source: &BackupSource) -> Result<Option<Thing>, DbError> {
    let (source, on) = (source.clone(), on.into());
    match source {
        BackupSource::Service(id) => Ok(services::get(on, client, id).await?.and_then(|service| {
            let kind = BackupKind::of_service(service.kind)?;
            Some(Thing { client, source, kind, server: service.server, app: service.app })
        })),
        BackupSource::Volume { server, app, .. } => {
            let there = deployments::on_server(on, server, app).await?.iter().any(|d| d.client == client);
            Ok(there.then_some(Thing { client, source, kind: BackupKind::Volume, server, app }))
        }
    }
}

/// Asks for a backup of a thing. The target is held by the transaction, so that it is not deleted meanwhile.
pub async fn request(
    tx: &mut Tx,
    db: &Db,
    thing: &Thing,
    target: &Target,
    policy: Option<BackupPolicyId>,
) -> Result<BackupId, DbError> {
    let id = BackupId::new();
    let new = NewBackup {
        id,
        client: thing.client,
        target: target.id,
        policy,
        source: thing.source.clone(),
        kind: thing.kind,
        server: thing.server,
        app: thing.app,
        stem: stem(target, &thing.source, id, db.now_ms()),
    };
    backups::insert(tx, db, &new).await?;
    let job = enqueue(tx, db, &NewJob::backup(thing.client, id, &thing.source)).await?.id();
    backups::set_job(tx, thing.client, id, job).await?;
    Ok(id)
}

/// A folder for each source; names sort by age.
fn stem(target: &Target, source: &BackupSource, id: BackupId, now: i64) -> String {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    let at = OffsetDateTime::from_unix_timestamp(now / 1000).ok().and_then(|at| at.format(format).ok());
    let folder = source.to_string().replace(':', "-");
    format!("{}{folder}/{}-{id}-", target.prefix, at.unwrap_or_default())
}
