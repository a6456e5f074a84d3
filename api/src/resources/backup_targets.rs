//! Backup targets: buckets where a client's backups go; and the key that they are encrypted with.
//!
//! Invariants: a secret key is read and sealed, never shown; a client has a backup key once it has a target, and it leaves
//! only on request. Absent: talking to a bucket.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use secrecy::{ExposeSecret, SecretString};
use shared::{
    backup::new_key,
    domain::{BackupTargetId, BucketName, ClientId, ObjectPrefix, StorageEndpoint, StorageKeyId, StorageRegion},
    store::{
        Tx,
        backup_keys::{self, BackupKey},
        backup_targets::{self as targets, Target},
    },
};

use super::Gone;
use crate::{
    app::{App, Here},
    auth::{Admin, Reader},
    idempotency::{Begun, Created, Idempotency, begin},
    openapi::Tag,
    page::{Limit, Page},
    patch::Change,
    problem::Problem,
    quotas::{self, Counted},
    secret::Secret,
    typed::{Moment, Typed},
};

pub struct BackupTargets;

#[derive(Object)]
#[oai(deny_unknown_fields)]
struct NewBackupTarget {
    /// 1 to 100 characters on one line.
    name: String,
    /// `https://` and a public host, where buckets are named in the path.
    endpoint: String,
    /// As the storage names it; `us-east-1` suits most that have none.
    region: Typed<StorageRegion>,
    bucket: Typed<BucketName>,
    /// What the names of objects begin with: folders, each ended by `/`.
    prefix: Option<Typed<ObjectPrefix>>,
    access_key_id: Typed<StorageKeyId>,
    /// 8 to 256 letters, digits, `/`, `+`, `=`, `-` and `_`.
    secret_access_key: Secret,
}

/// What is absent stays. Where a target is never changes: add another one instead.
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct BackupTargetChanges {
    name: Change<String>,
    access_key_id: Change<Typed<StorageKeyId>>,
    secret_access_key: Change<Secret>,
}

/// A bucket for backups, without its secret.
#[derive(Object)]
#[oai(rename = "BackupTarget")]
struct BackupTargetView {
    id: Typed<BackupTargetId>,
    name: String,
    endpoint: String,
    region: Typed<StorageRegion>,
    bucket: Typed<BucketName>,
    prefix: Typed<ObjectPrefix>,
    access_key_id: Typed<StorageKeyId>,
    created_at: Moment,
    updated_at: Moment,
}

/// What a client's backups are encrypted with, in the format age (<https://age-encryption.org>).
#[derive(Object)]
#[oai(rename = "BackupKey")]
struct BackupKeyView {
    /// `age1…`: encrypts.
    recipient: String,
    /// `AGE-SECRET-KEY-1…`: decrypts. Whoever has it and a backup can read it.
    identity: String,
    created_at: Moment,
}

fn view(t: Target) -> BackupTargetView {
    BackupTargetView {
        id: Typed(t.id),
        name: t.name,
        endpoint: t.endpoint,
        region: Typed(t.region),
        bucket: Typed(t.bucket),
        prefix: Typed(t.prefix),
        access_key_id: Typed(t.key_id),
        created_at: Moment(t.created_at),
        updated_at: Moment(t.updated_at),
    }
}

fn missing() -> Problem {
    Problem::not_found("backup target")
}

fn name(text: &str) -> Result<String, Problem> {
    let text = text.trim();
    if !(1..=100).contains(&text.chars().count()) || text.chars().any(char::is_control) {
        return Err(Problem::invalid("invalid_body", "A name has 1 to 100 characters on one line."));
    }
    Ok(text.to_owned())
}

fn endpoint(app: &App, text: &str) -> Result<String, Problem> {
    let endpoint = StorageEndpoint::parse(text, app.config.webhook_policy());
    Ok(endpoint.map_err(|e| Problem::invalid("invalid_backup_endpoint", format!("{e}.")))?.as_str().to_owned())
}

fn sealed(app: &App, client: ClientId, id: BackupTargetId, secret: Secret) -> Result<String, Problem> {
    let secret = secret.made_of("A secret access key", 8..=256, "/+=-_")?;
    Ok(app.config.master_key.seal(targets::place(client, &id.to_string()), secret.expose_secret().as_bytes())?)
}

/// The client's key, made now when there is none. It is looked up again: another request may have made it meanwhile.
async fn key_of(app: &App, tx: &mut Tx, client: ClientId) -> Result<BackupKey, Problem> {
    if let Some(key) = backup_keys::get(&mut *tx, client).await? {
        return Ok(key);
    }
    let (key, row) = (new_key(), client.to_string());
    let place = backup_keys::place(client, &row);
    let new = BackupKey {
        client,
        recipient: key.recipient,
        identity_sealed: app.config.master_key.seal(place, key.identity.expose_secret().as_bytes())?,
        created_at: app.db.now_ms(),
    };
    backup_keys::insert_missing(tx, &new).await?;
    backup_keys::get(tx, client).await?.ok_or_else(Problem::internal)
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Backups")]
impl BackupTargets {
    /// Add a backup target
    ///
    /// An S3-compatible bucket. The access key needs the rights to write, read, list and delete objects in it, and to list
    /// and end multipart uploads. Needs scope `admin`.
    #[oai(path = "/backup-targets", method = "post", operation_id = "create_backup_target")]
    async fn create(
        &self,
        caller: Admin,
        app: Here,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
        body: Json<NewBackupTarget>,
    ) -> Result<Created<BackupTargetView>, Problem> {
        let (client, id, new, now) = (caller.client, BackupTargetId::new(), body.0, app.db.now_ms());
        let target = Target {
            id,
            client,
            name: name(&new.name)?,
            endpoint: endpoint(&app, &new.endpoint)?,
            region: new.region.0,
            bucket: new.bucket.0,
            prefix: match new.prefix {
                Some(prefix) => prefix.0,
                None => "".parse()?,
            },
            key_id: new.access_key_id.0,
            secret_sealed: sealed(&app, client, id, new.secret_access_key)?,
            created_at: now,
            updated_at: now,
        };
        let mut once = match begin(&app, client, once).await? {
            Begun::Replay(answer) => return Ok(answer),
            Begun::New(once) => once,
        };
        targets::insert(&mut once.tx, &target).await?;
        key_of(&app, &mut once.tx, client).await?;
        quotas::check(&app, &mut once.tx, client, Counted::BackupTargets).await?;
        once.finish(&app, format!("/v1/backup-targets/{id}"), view(target)).await
    }

    /// List backup targets
    ///
    /// Needs scope `read`.
    #[oai(path = "/backup-targets", method = "get", operation_id = "list_backup_targets")]
    async fn list(
        &self,
        caller: Reader,
        app: Here,
        cursor: Query<Option<Typed<BackupTargetId>>>,
        limit: Query<Limit>,
    ) -> Result<Json<Page<BackupTargetView>>, Problem> {
        let rows = targets::list(&app.db, caller.client, cursor.0.map(|c| c.0), limit.rows()).await?;
        Ok(Json(limit.page(rows, |target| target.id.to_string(), view)))
    }

    /// Show a backup target
    ///
    /// Needs scope `read`.
    #[oai(path = "/backup-targets/:backup_target_id", method = "get", operation_id = "get_backup_target")]
    async fn get(
        &self,
        caller: Reader,
        app: Here,
        backup_target_id: Path<Typed<BackupTargetId>>,
    ) -> Result<Json<BackupTargetView>, Problem> {
        let found = targets::get(&app.db, caller.client, backup_target_id.0.0).await?;
        Ok(Json(view(found.ok_or_else(missing)?)))
    }

    /// Change a backup target
    ///
    /// Its name and its access key. Needs scope `admin`.
    #[oai(path = "/backup-targets/:backup_target_id", method = "patch", operation_id = "update_backup_target")]
    async fn update(
        &self,
        caller: Admin,
        app: Here,
        backup_target_id: Path<Typed<BackupTargetId>>,
        body: Json<BackupTargetChanges>,
    ) -> Result<Json<BackupTargetView>, Problem> {
        let (client, changes) = (caller.client, body.0);
        let mut tx = app.db.begin().await?;
        let old = targets::lock(&mut tx, client, backup_target_id.0.0).await?.ok_or_else(missing)?;
        let secret =
            changes.secret_access_key.given().map(|secret| sealed(&app, client, old.id, secret)).transpose()?;
        let new = Target {
            name: changes.name.given().map_or(Ok(old.name), |text| name(&text))?,
            key_id: changes.access_key_id.given().map_or(old.key_id, |id| id.0),
            secret_sealed: secret.unwrap_or(old.secret_sealed),
            updated_at: app.db.now_ms(),
            ..old
        };
        targets::update(&mut tx, &new).await?;
        tx.commit().await?;
        Ok(Json(view(new)))
    }

    /// Delete a backup target
    ///
    /// Its backups and the policies that name it have to be deleted before. Needs scope `admin`.
    #[oai(path = "/backup-targets/:backup_target_id", method = "delete", operation_id = "delete_backup_target")]
    async fn delete(
        &self,
        caller: Admin,
        app: Here,
        backup_target_id: Path<Typed<BackupTargetId>>,
    ) -> Result<Gone, Problem> {
        let mut tx = app.db.begin().await?;
        let target = targets::lock(&mut tx, caller.client, backup_target_id.0.0).await?.ok_or_else(missing)?;
        if !targets::delete(&mut tx, &app.db, caller.client, target.id).await? {
            let detail = "Backups are in it, or a policy names it. Delete them first.";
            return Err(Problem::conflict("backup_target_in_use", detail));
        }
        tx.commit().await?;
        Ok(Gone::Gone)
    }

    /// Export the backup key
    ///
    /// With it backups are read without the engine; see the documentation of backups. Each export should be kept like a
    /// password. Needs scope `admin`.
    #[oai(path = "/backup-key/export", method = "post", operation_id = "export_backup_key")]
    async fn export(&self, caller: Admin, app: Here) -> Result<Json<BackupKeyView>, Problem> {
        let client = caller.client;
        let mut tx = app.db.begin().await?;
        let key = key_of(&app, &mut tx, client).await?;
        tx.commit().await?;
        let row = client.to_string();
        let identity: SecretString =
            app.config.master_key.open_text(backup_keys::place(client, &row), &key.identity_sealed)?;
        Ok(Json(BackupKeyView {
            recipient: key.recipient,
            identity: identity.expose_secret().to_owned(),
            created_at: Moment(key.created_at),
        }))
    }
}
