//! The images that builds made (`build_images`): one for each part that the build had.
//!
//! Invariant: a build's images are written in the transaction of its success and never changed. A build from before
//! there were parts has one image, which stands in its own row. Absent: who needs which image; a deployment chooses.

use super::Build;
use crate::{
    domain::{BuildId, component::BuildPart},
    store::{DbError, On, Row, Tx, sql},
};

/// An image that a build pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// What it was made of.
    pub part: BuildPart,
    /// Without the registry's host.
    pub repository: String,
    pub tag: String,
    pub digest: String,
    /// What the part's source was found to be.
    pub stack: Option<String>,
    /// What it listens on, as far as it was found out.
    pub port: Option<i64>,
    pub health_path: Option<String>,
}

pub(super) async fn insert(tx: &mut Tx, build: BuildId, images: &[Image]) -> Result<(), DbError> {
    for image in images {
        sql("insert into build_images (build_id, part, repository, tag, digest, stack, port, health_path)
             values ($1, $2, $3, $4, $5, $6, $7, $8)")
        .text(build)
        .text(&image.part)
        .text(&image.repository)
        .text(&image.tag)
        .text(&image.digest)
        .opt_text(image.stack.as_ref())
        .opt_int(image.port)
        .opt_text(image.health_path.as_ref())
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// The images of a build that the caller has read as its client's; none when it made none. The one that the build's own
/// row tells of is the first.
pub async fn images(on: impl Into<On<'_>>, build: &Build) -> Result<Vec<Image>, DbError> {
    let mut found = sql("select * from build_images where build_id = $1").text(build.id).fetch_all(on, read).await?;
    if found.is_empty() {
        found.extend(own(build));
    }
    found.sort_by(|a, b| a.part.cmp(&b.part));
    Ok(found)
}

/// The image of a build from before there were parts.
fn own(build: &Build) -> Option<Image> {
    Some(Image {
        part: BuildPart::App,
        repository: build.image_repository.clone()?,
        tag: build.image_tag.clone()?,
        digest: build.image_digest.clone()?,
        stack: build.stack.clone(),
        port: build.port,
        health_path: build.health_path.clone(),
    })
}

fn read(r: &Row) -> Result<Image, DbError> {
    Ok(Image {
        part: r.parse("part")?,
        repository: r.text("repository")?,
        tag: r.text("tag")?,
        digest: r.text("digest")?,
        stack: r.opt_text("stack")?,
        port: r.opt_int("port")?,
        health_path: r.opt_text("health_path")?,
    })
}
