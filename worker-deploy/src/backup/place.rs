//! What a copy needs, opened: its bucket, its key, and the server where its thing stands.
//!
//! Invariant: an endpoint is judged again before anything is sent to it, for the rules may have become stricter. Absent:
//! copying.

use secrecy::SecretString;
use shared::{
    backup::{Access, Copy, Key, Storage, scripts},
    domain::{BackupKind, BackupSource, ServerId, StorageEndpoint, WebhookPolicy, status::ServerStatus},
    failure::Failure,
    generate, login,
    ssh::{Reach, Session},
    store::{Db, backup_keys, backup_targets, backups::Backup, servers},
};
use uuid::Uuid;

use crate::settings::Settings;

/// A bucket, a key and a server.
pub struct Place {
    pub storage: Storage,
    pub key: Key,
    session: Session,
    free: u64,
}

/// The bucket of a backup.
pub async fn storage(db: &Db, settings: &Settings, backup: &Backup) -> Result<Storage, Failure> {
    let gone = || Failure::permanent("backup_target_missing", "the backup's target is gone");
    let target = backup_targets::get(db, backup.client, backup.target).await?.ok_or_else(gone)?;
    let (policy, reach) = match settings.dev_mode {
        true => (WebhookPolicy::Development, Reach::Any),
        false => (WebhookPolicy::Production, Reach::Public),
    };
    let endpoint = StorageEndpoint::parse(&target.endpoint, policy);
    let endpoint = endpoint.map_err(|e| Failure::permanent("private_address", format!("the backup's target: {e}")))?;
    let row = target.id.to_string();
    let secret = settings.master_key.open_text(backup_targets::place(target.client, &row), &target.secret_sealed)?;
    let access = Access { endpoint, region: target.region, bucket: target.bucket, key_id: target.key_id, secret };
    Storage::open(&access, reach).await
}

async fn key(db: &Db, settings: &Settings, backup: &Backup) -> Result<Key, Failure> {
    let gone = || Failure::permanent("backup_key_missing", "the client has no backup key");
    let key = backup_keys::get(db, backup.client).await?.ok_or_else(gone)?;
    let row = key.client.to_string();
    let identity: SecretString =
        settings.master_key.open_text(backup_keys::place(key.client, &row), &key.identity_sealed)?;
    Ok(Key { recipient: key.recipient, identity })
}

impl Place {
    /// Everything for a backup, on the server where its thing stood when it was asked for.
    pub async fn open(db: &Db, settings: &Settings, backup: &Backup) -> Result<Self, Failure> {
        Self::on(db, settings, backup, backup.server).await
    }

    /// The same on another server, for a restore.
    pub async fn on(db: &Db, settings: &Settings, backup: &Backup, server: ServerId) -> Result<Self, Failure> {
        let storage = storage(db, settings, backup).await?;
        let key = key(db, settings, backup).await?;
        let gone = || Failure::permanent("server_gone", "the server is gone");
        let server = servers::get(db, backup.client, server).await?.ok_or_else(gone)?;
        match server.status {
            ServerStatus::Ready => {}
            ServerStatus::Stopped => return Err(Failure::transient("server_not_ready", "the server is stopped")),
            status => return Err(Failure::permanent("server_not_ready", format!("the server is {status}"))),
        }
        let session = login::connect(&settings.master_key, &server, settings.dev_mode).await?;
        Ok(Self { storage, key, session, free: settings.limits.free })
    }

    /// The copy of a thing, named by an id.
    pub fn copy(&self, kind: BackupKind, source: &BackupSource, id: Uuid) -> Result<Copy<'_>, Failure> {
        let unknown =
            || Failure::permanent("backup_kind_unsupported", format!("a {kind} service cannot be backed up yet"));
        Ok(Copy {
            server: &self.session,
            storage: &self.storage,
            scripts: scripts(kind).ok_or_else(unknown)?,
            source: match source {
                BackupSource::Service(id) => id.to_string(),
                BackupSource::Volume { app, name, .. } => generate::volume_name(*app, name),
            },
            id: id.simple().to_string(),
            free: self.free,
        })
    }

    pub async fn close(self) {
        self.session.close().await;
    }
}
