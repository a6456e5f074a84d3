//! Backup policies: when a thing is backed up, and how long its backups stay.
//!
//! Invariant: a policy has at least one limit on what stays. Absent: making backups at their time.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use shared::{
    backup::thing,
    domain::{BackupPolicyId, BackupTargetId, ServiceId, component::Schedule},
    store::{
        backup_policies::{self as policies, Policy},
        backup_targets,
    },
};

use super::{
    Gone,
    backups::{BackupVolume, named, no_source, source, unsupported},
};
use crate::{
    app::Here,
    auth::{Admin, Reader},
    idempotency::{Begun, Created, Idempotency, begin},
    openapi::Tag,
    page::{Limit, Page},
    patch::{Change, Clear},
    problem::Problem,
    typed::{Moment, Typed},
};

pub struct BackupPolicies;

#[derive(Object)]
#[oai(deny_unknown_fields)]
struct NewBackupPolicy {
    /// Either this or `volume`.
    service_id: Option<Typed<ServiceId>>,
    volume: Option<BackupVolume>,
    target_id: Typed<BackupTargetId>,
    /// Five fields as in a crontab, in UTC.
    schedule: Typed<Schedule>,
    /// How many good backups stay, at least 1. Either this or `keep_days` is needed; of both, the stricter one counts.
    #[oai(validator(minimum(value = "1"), maximum(value = "10000")))]
    keep_count: Option<i64>,
    /// How many days a good backup stays, at least 1. The newest one always stays.
    #[oai(validator(minimum(value = "1"), maximum(value = "3650")))]
    keep_days: Option<i64>,
    /// `true` when absent.
    enabled: Option<bool>,
}

/// What is absent stays.
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct BackupPolicyChanges {
    /// For new backups.
    target_id: Change<Typed<BackupTargetId>>,
    schedule: Change<Typed<Schedule>>,
    keep_count: Clear<i64>,
    keep_days: Clear<i64>,
    enabled: Change<bool>,
}

/// When a thing is backed up.
#[derive(Object)]
#[oai(rename = "BackupPolicy")]
struct BackupPolicyView {
    id: Typed<BackupPolicyId>,
    #[oai(skip_serializing_if_is_none)]
    service_id: Option<Typed<ServiceId>>,
    #[oai(skip_serializing_if_is_none)]
    volume: Option<BackupVolume>,
    target_id: Typed<BackupTargetId>,
    schedule: Typed<Schedule>,
    #[oai(skip_serializing_if_is_none)]
    keep_count: Option<i64>,
    #[oai(skip_serializing_if_is_none)]
    keep_days: Option<i64>,
    enabled: bool,
    /// When the next backup is due.
    next_at: Moment,
    created_at: Moment,
    updated_at: Moment,
}

fn view(p: Policy) -> BackupPolicyView {
    let (service_id, volume) = named(p.source);
    BackupPolicyView {
        id: Typed(p.id),
        service_id,
        volume,
        target_id: Typed(p.target),
        schedule: Typed(p.schedule),
        keep_count: p.keep_count,
        keep_days: p.keep_days,
        enabled: p.enabled,
        next_at: Moment(p.next_at),
        created_at: Moment(p.created_at),
        updated_at: Moment(p.updated_at),
    }
}

fn missing() -> Problem {
    Problem::not_found("backup policy")
}

fn next(schedule: &Schedule, now: i64) -> Result<i64, Problem> {
    let never = || Problem::invalid("invalid_body", "The schedule has no moment in the coming years.");
    schedule.next_after(now).ok_or_else(never)
}

fn checked(policy: Policy) -> Result<Policy, Problem> {
    let out = |most: i64, limit: Option<i64>| limit.is_some_and(|n| !(1..=most).contains(&n));
    if policy.keep_count.is_none() && policy.keep_days.is_none() {
        return Err(Problem::invalid("invalid_body", "One of `keep_count` and `keep_days` is needed."));
    }
    if out(10_000, policy.keep_count) || out(3650, policy.keep_days) {
        return Err(Problem::invalid("invalid_body", "`keep_count` is 1 to 10000 and `keep_days` 1 to 3650."));
    }
    Ok(policy)
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Backups")]
impl BackupPolicies {
    /// Add a backup policy
    ///
    /// A service or a volume has at most one. Needs scope `admin`.
    #[oai(path = "/backup-policies", method = "post", operation_id = "create_backup_policy")]
    async fn create(
        &self,
        caller: Admin,
        app: Here,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
        body: Json<NewBackupPolicy>,
    ) -> Result<Created<BackupPolicyView>, Problem> {
        let (client, new, now) = (caller.client, body.0, app.db.now_ms());
        let source = source(new.service_id, new.volume)?;
        let policy = checked(Policy {
            id: BackupPolicyId::new(),
            client,
            target: new.target_id.0,
            source: source.clone(),
            next_at: next(&new.schedule.0, now)?,
            schedule: new.schedule.0,
            keep_count: new.keep_count,
            keep_days: new.keep_days,
            enabled: new.enabled.unwrap_or(true),
            created_at: now,
            updated_at: now,
        })?;
        let mut once = match begin(&app, client, once).await? {
            Begun::Replay(answer) => return Ok(answer),
            Begun::New(once) => once,
        };
        let found = thing(&mut once.tx, client, &source).await?;
        unsupported(found.ok_or_else(|| no_source(&source))?.kind)?;
        let target = backup_targets::lock(&mut once.tx, client, policy.target).await?;
        target.ok_or_else(|| Problem::not_found("backup target"))?;
        if !policies::insert(&mut once.tx, &policy).await? {
            return Err(Problem::conflict("backup_policy_exists", "It has a policy. Change that one."));
        }
        once.finish(&app, format!("/v1/backup-policies/{}", policy.id), view(policy)).await
    }

    /// List backup policies
    ///
    /// Needs scope `read`.
    #[oai(path = "/backup-policies", method = "get", operation_id = "list_backup_policies")]
    async fn list(
        &self,
        caller: Reader,
        app: Here,
        cursor: Query<Option<Typed<BackupPolicyId>>>,
        limit: Query<Limit>,
    ) -> Result<Json<Page<BackupPolicyView>>, Problem> {
        let rows = policies::list(&app.db, caller.client, cursor.0.map(|c| c.0), limit.rows()).await?;
        Ok(Json(limit.page(rows, |policy| policy.id.to_string(), view)))
    }

    /// Show a backup policy
    ///
    /// Needs scope `read`.
    #[oai(path = "/backup-policies/:backup_policy_id", method = "get", operation_id = "get_backup_policy")]
    async fn get(
        &self,
        caller: Reader,
        app: Here,
        backup_policy_id: Path<Typed<BackupPolicyId>>,
    ) -> Result<Json<BackupPolicyView>, Problem> {
        let found = policies::get(&app.db, caller.client, backup_policy_id.0.0).await?;
        Ok(Json(view(found.ok_or_else(missing)?)))
    }

    /// Change a backup policy
    ///
    /// The next backup is counted from now. Needs scope `admin`.
    #[oai(path = "/backup-policies/:backup_policy_id", method = "patch", operation_id = "update_backup_policy")]
    async fn update(
        &self,
        caller: Admin,
        app: Here,
        backup_policy_id: Path<Typed<BackupPolicyId>>,
        body: Json<BackupPolicyChanges>,
    ) -> Result<Json<BackupPolicyView>, Problem> {
        let (client, changes, now) = (caller.client, body.0, app.db.now_ms());
        let mut tx = app.db.begin().await?;
        let old = policies::get(&mut tx, client, backup_policy_id.0.0).await?.ok_or_else(missing)?;
        let target = changes.target_id.given().map_or(old.target, |id| id.0);
        let held = backup_targets::lock(&mut tx, client, target).await?;
        held.ok_or_else(|| Problem::not_found("backup target"))?;
        let schedule = changes.schedule.given().map_or(old.schedule.clone(), |schedule| schedule.0);
        let new = checked(Policy {
            target,
            next_at: next(&schedule, now)?,
            schedule,
            keep_count: changes.keep_count.or(old.keep_count),
            keep_days: changes.keep_days.or(old.keep_days),
            enabled: changes.enabled.or(old.enabled),
            updated_at: now,
            ..old
        })?;
        if !policies::update(&mut tx, &new).await? {
            return Err(missing());
        }
        tx.commit().await?;
        Ok(Json(view(new)))
    }

    /// Delete a backup policy
    ///
    /// Its backups stay until they are deleted. Needs scope `admin`.
    #[oai(path = "/backup-policies/:backup_policy_id", method = "delete", operation_id = "delete_backup_policy")]
    async fn delete(
        &self,
        caller: Admin,
        app: Here,
        backup_policy_id: Path<Typed<BackupPolicyId>>,
    ) -> Result<Gone, Problem> {
        let mut tx = app.db.begin().await?;
        if !policies::delete(&mut tx, caller.client, backup_policy_id.0.0).await? {
            return Err(missing());
        }
        tx.commit().await?;
        Ok(Gone::Gone)
    }
}
