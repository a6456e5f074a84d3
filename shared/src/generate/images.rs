//! The base images. Those with a version in their name get it from [`super::versions`].
//!
//! Invariant: a name from here is written into a Dockerfile as it stands, behind the operator's own prefix and before the
//! operator's digest if there are any. Absent: digests of our own; they would keep the bytes of a tag that has had
//! security fixes since. Without the operator's, the registry mirror that builds pull through decides what a tag means.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{plan::BuildPlan, versions::Series};
use crate::domain::ImageDigest;

pub const RUST: &str = "rust:1-slim-bookworm";
/// What compiled programs run on.
pub const DEBIAN: &str = "debian:bookworm-slim";
/// Serves on an unprivileged port as uid 101.
pub const NGINX: &str = "nginxinc/nginx-unprivileged:1.28";

/// Where base images come from, and which bytes their tags mean: settings of the operator. By default the public hub's
/// names, and whatever their tags mean at the time of the build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bases {
    prefix: String,
    digests: BTreeMap<String, ImageDigest>,
}

/// A setting that does not name images.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BasesError {
    #[error("{0:?} is no prefix of image names; host[:port][/path] is expected, in lower case")]
    Prefix(String),
    #[error("line {line}: NAME:TAG sha256:DIGEST is expected, got {text:?}")]
    Digest { line: usize, text: String },
}

impl Bases {
    /// `prefix` is such as `mirror.example:5000/hub`. `digests` has a line for each image that is pinned, its name as
    /// generated Dockerfiles have it without a prefix: `node:24-slim sha256:…`; lines that begin with `#` are comments.
    pub fn new(prefix: Option<&str>, digests: &str) -> Result<Self, BasesError> {
        let prefix = prefix.unwrap_or_default().trim_end_matches('/');
        if !prefix.is_empty() && !prefix.split('/').all(is_of_name) {
            return Err(BasesError::Prefix(prefix.to_owned()));
        }
        let lines = digests.lines().map(str::trim).enumerate();
        let digests = lines
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .map(|(n, line)| pin(line).ok_or_else(|| BasesError::Digest { line: n + 1, text: line.to_owned() }));
        Ok(Self { prefix: prefix.to_owned(), digests: digests.collect::<Result<_, _>>()? })
    }

    /// The plan with its images from there.
    pub(super) fn apply(&self, plan: &mut BuildPlan) {
        let stages = plan.assets.iter_mut().chain(&mut plan.build).map(|stage| &mut stage.image);
        for image in stages.chain(&mut plan.lent).chain([&mut plan.runtime.image]) {
            *image = self.named(image);
        }
    }

    fn named(&self, image: &BaseImage) -> BaseImage {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        let digest = self.digests.get(&image.0).map(|digest| format!("@{digest}")).unwrap_or_default();
        BaseImage(format!("{}{slash}{}{digest}", self.prefix, image.0))
    }
}

fn is_of_name(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-:".contains(c);
    !part.is_empty() && part.chars().all(plain)
}

fn pin(line: &str) -> Option<(String, ImageDigest)> {
    let (name, digest) = line.split_once(char::is_whitespace)?;
    name.split('/').all(is_of_name).then_some((name.to_owned(), digest.trim().parse().ok()?))
}

/// A base image as a `FROM` line names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct BaseImage(String);

impl BaseImage {
    /// An image of a language's series, such as `node:24-slim`.
    pub fn of_series(name: &str, series: &Series, variant: &str) -> Self {
        Self(format!("{name}:{}{variant}", series.name))
    }

    /// By its name on the public hub, with a tag.
    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_prefix_and_a_digest() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let bases = |prefix, digests: &str| Bases::new(prefix, digests);
        let named = |bases: Result<Bases, BasesError>| bases.map(|bases| bases.named(&BaseImage::new(DEBIAN)).0);
        assert_eq!(named(bases(None, "")).as_deref(), Ok("debian:bookworm-slim"));
        let prefix = Some("m.example:5000/hub/");
        assert_eq!(named(bases(prefix, "")).as_deref(), Ok("m.example:5000/hub/debian:bookworm-slim"));
        let pinned = format!("# of today\n\ndebian:bookworm-slim   {digest}\nnode:24-slim {digest}");
        assert_eq!(named(bases(None, &pinned)), Ok(format!("debian:bookworm-slim@{digest}")));
        assert_eq!(named(bases(prefix, &pinned)), Ok(format!("m.example:5000/hub/debian:bookworm-slim@{digest}")));
    }

    #[test]
    fn settings_that_are_none() {
        for prefix in ["m.example\nRUN x", "M.example", "a b", "a@b", "https://m.example", "/hub"] {
            assert_eq!(Bases::new(Some(prefix), ""), Err(BasesError::Prefix(prefix.to_owned())));
        }
        for line in ["node:24", "node:24 sha256:ab", "node:24 md5:00", &format!("n o sha256:{}", "a".repeat(64))] {
            let text = format!("\n{line}");
            assert_eq!(Bases::new(None, &text), Err(BasesError::Digest { line: 2, text: line.to_owned() }));
        }
    }
}
