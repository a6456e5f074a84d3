//! Images that leave the registry (`image_removals`), and whose turn it is to be looked through.
//!
//! Invariants: whoever may come to need an image, and whoever decides that nobody does, holds the app's row ([`hold`],
//! [`super::apps::lock`]); while a row is held ([`Turn::until`]) no build of the app pushes, and while one builds or pushes no
//! row is taken; a build that pushed the same image again takes its row away. Absent: what is needed
//! ([`crate::domain::retention`]), and the registry.

use std::{collections::BTreeMap, time::Duration};

use super::{Db, DbError, On, Tx, builds::Build, deployments, sql};
use crate::domain::{
    AppId, BuildId, ClientId, ImageDigest,
    release::FrozenImage,
    retention::{Known, Made, Release, Rule},
};

/// An app, deleted or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Of {
    pub client: ClientId,
    pub app: AppId,
}

/// Apps with images that were not looked through since `before`, up to `limit`, those that waited longest first.
pub async fn due(on: impl Into<On<'_>>, before: i64, limit: i64) -> Result<Vec<Of>, DbError> {
    sql("select id, client_id from apps
         where coalesce(images_swept_at, 0) <= $1
           and exists (select 1 from build_jobs b where b.app_id = apps.id and b.image_digest is not null)
         order by coalesce(images_swept_at, 0), id limit $2")
    .int(before)
    .int(limit)
    .fetch_all(on, |r| Ok(Of { client: r.parse("client_id")?, app: r.parse("id")? }))
    .await
}

/// Notes that an app's images were looked through at `at`.
pub async fn set_swept(on: impl Into<On<'_>>, of: Of, at: i64) -> Result<(), DbError> {
    let set = sql("update apps set images_swept_at = $1 where id = $2");
    set.int(at).text(of.app).execute(on).await.map(|_| ())
}

/// What may be removed of an app now: images that nobody needs, and those of which it was decided before and whose turn is
/// over. Not more than is good for one turn.
pub async fn wanted(tx: &mut Tx, db: &Db, of: Of, rule: &Rule) -> Result<Vec<ImageDigest>, DbError> {
    const MOST: usize = 50;
    let now = db.now_ms();
    let decided = sql("select digest from image_removals
                       where app_id = $1 and removed_at is null and held_until < $2 order by digest");
    let mut wanted = decided.text(of.app).int(now).fetch_all(&mut *tx, |r| r.parse("digest")).await?;
    wanted.extend(known(tx, of).await?.unneeded(rule, now));
    wanted.truncate(MOST);
    Ok(wanted)
}

/// The right to remove images for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Until when requests may be under way (unix milliseconds, database clock).
    pub until: i64,
    pub images: Vec<ImageDigest>,
}

/// Decides what is removed of an app and takes the turn to do it, for so long. `None` while a build of it may push, or soon
/// will. From the commit on no deployment gets these images, and no build of the app pushes until the turn is over.
pub async fn begin(tx: &mut Tx, db: &Db, of: Of, rule: &Rule, turn: Duration) -> Result<Option<Turn>, DbError> {
    hold(tx, of.app).await?;
    let busy = sql("select id from build_jobs where app_id = $1 and status in ('building', 'pushing') limit 1");
    if busy.text(of.app).fetch_optional(&mut *tx, |r| r.text("id")).await?.is_some() {
        return Ok(None);
    }
    let images = wanted(tx, db, of, rule).await?;
    let now = db.now_ms();
    let until = now.saturating_add(i64::try_from(turn.as_millis()).unwrap_or(i64::MAX));
    for image in &images {
        sql("insert into image_removals (app_id, digest, client_id, requested_at, held_until) values ($1, $2, $3, $4, $5)
             on conflict (app_id, digest) do update set held_until = excluded.held_until")
        .text(of.app)
        .text(image)
        .text(of.client)
        .int(now)
        .int(until)
        .execute(&mut *tx)
        .await?;
    }
    Ok(Some(Turn { until, images }))
}

/// Notes what the registry does not have any more. Of a turn that another one followed, nothing.
pub async fn set_removed(tx: &mut Tx, db: &Db, of: Of, turn: &Turn, gone: &[ImageDigest]) -> Result<(), DbError> {
    for image in gone {
        sql("update image_removals set removed_at = $1
             where app_id = $2 and digest = $3 and held_until = $4 and removed_at is null")
        .int(db.now_ms())
        .text(of.app)
        .text(image)
        .int(turn.until)
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Takes the decision about images back that the registry refused to remove.
pub async fn take_back(tx: &mut Tx, of: Of, turn: &Turn, kept: &[ImageDigest]) -> Result<(), DbError> {
    for image in kept {
        sql("delete from image_removals where app_id = $1 and digest = $2 and held_until = $3 and removed_at is null")
            .text(of.app)
            .text(image)
            .int(turn.until)
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

/// Whether a build has to wait before it pushes: an image of its app is being removed, which may be the same. Holds the app's
/// row until the transaction ends.
pub async fn is_under_way(tx: &mut Tx, db: &Db, build: BuildId) -> Result<bool, DbError> {
    let app = sql("select app_id from build_jobs where id = $1").text(build);
    let Some(app) = app.fetch_optional(&mut *tx, |r| r.parse("app_id")).await? else { return Ok(false) };
    hold(tx, app).await?;
    let held =
        sql("select digest from image_removals where app_id = $1 and removed_at is null and held_until >= $2 limit 1");
    Ok(held.text(app).int(db.now_ms()).fetch_optional(tx, |r| r.text("digest")).await?.is_some())
}

/// The image is there: a build that waited for its turn has pushed it.
pub(super) async fn came_back(tx: &mut Tx, build: BuildId, digest: &str) -> Result<(), DbError> {
    sql("delete from image_removals where digest = $1 and app_id = (select app_id from build_jobs where id = $2)")
        .text(digest)
        .text(build)
        .execute(tx)
        .await
        .map(|_| ())
}

/// Whether an image of an app was removed, or will be. The caller holds the app's row.
pub async fn is_removed(on: impl Into<On<'_>>, app: AppId, image: &ImageDigest) -> Result<bool, DbError> {
    let found = sql("select digest from image_removals where app_id = $1 and digest = $2").text(app).text(image);
    Ok(found.fetch_optional(on, |r| r.text("digest")).await?.is_some())
}

/// Those of a build's images that cannot be deployed any more, and since when.
pub async fn of_build(on: impl Into<On<'_>>, build: &Build) -> Result<BTreeMap<String, i64>, DbError> {
    let found = sql("select digest, requested_at from image_removals
                     where app_id = $1 and (digest = $2 or digest in (select digest from build_images where build_id = $3))")
    .text(build.app)
    .opt_text(build.image_digest.as_ref())
    .text(build.id);
    let rows = found.fetch_all(on, |r| Ok((r.text("digest")?, r.int("requested_at")?))).await?;
    Ok(rows.into_iter().collect())
}

/// As [`super::apps::lock`], of a deleted app too.
async fn hold(tx: &mut Tx, app: AppId) -> Result<(), DbError> {
    sql("update apps set updated_at = updated_at where id = $1").text(app).execute(tx).await.map(|_| ())
}

/// Everything that decides about the images that are there.
async fn known(tx: &mut Tx, of: Of) -> Result<Known, DbError> {
    let app = sql("select current_build_id, deleted_at from apps where id = $1").text(of.app);
    let app = app.fetch_optional(&mut *tx, |r| Ok((r.opt_parse("current_build_id")?, r.opt_int("deleted_at")?)));
    let (current, deleted) = app.await?.unwrap_or_default();
    let releases = deployments::of_app(&mut *tx, of.client, of.app).await?;
    let release = |d: deployments::Deployment| {
        let plan = d.plan()?;
        let images = plan.components.into_iter().filter_map(|frozen| match frozen.image {
            FrozenImage::Built { digest, .. } => Some(digest),
            FrozenImage::Public(_) | FrozenImage::Managed => None,
        });
        Ok(Release { server: d.server, sequence: d.sequence, status: d.status, images: images.collect() })
    };
    let releases = releases.into_iter().map(release).collect::<Result<_, DbError>>()?;
    Ok(Known { builds: made(tx, of.app).await?, releases, current, deleted: deleted.is_some() })
}

/// The builds that have images in the registry, and those images.
async fn made(tx: &mut Tx, app: AppId) -> Result<Vec<Made>, DbError> {
    let rows = sql("
        select m.id, m.finished_at, m.digest from (
          select b.id, b.finished_at, i.digest from build_jobs b join build_images i on i.build_id = b.id
            where b.app_id = $1 and b.status = 'success'
          union
          select id, finished_at, image_digest as digest from build_jobs
            where app_id = $1 and status = 'success' and image_digest is not null) m
        where not exists (select 1 from image_removals r where r.app_id = $1 and r.digest = m.digest)
        order by m.id")
    .text(app)
    .fetch_all(tx, |r| Ok((r.parse("id")?, r.int("finished_at")?, r.parse("digest")?)))
    .await?;
    let mut made: Vec<Made> = Vec::new();
    for (build, at, image) in rows {
        match made.last_mut().filter(|last| last.build == build) {
            Some(last) => _ = last.images.insert(image),
            None => made.push(Made { build, at, images: [image].into() }),
        }
    }
    Ok(made)
}
