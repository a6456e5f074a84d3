//! The base images. Those with a version in their name get it from [`super::versions`].
//!
//! Invariant: a name from here is written into a Dockerfile as it stands, behind the operator's own prefix if there is
//! one. Absent: digests; the registry mirror that builds pull through decides which bytes a tag means.

use serde::Serialize;

use super::versions::Series;

pub const RUST: &str = "rust:1-slim-bookworm";
/// What compiled programs run on.
pub const DEBIAN: &str = "debian:bookworm-slim";
/// Serves on an unprivileged port as uid 101.
pub const NGINX: &str = "nginxinc/nginx-unprivileged:1.28";

/// A base image as a `FROM` line names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct BaseImage(String);

impl BaseImage {
    /// An image of a language's series, such as `node:24-slim`.
    pub fn of_series(prefix: Option<&str>, name: &str, series: &Series, variant: &str) -> Self {
        Self::new(prefix, &format!("{name}:{}{variant}", series.name))
    }

    /// `prefix` is the operator's setting, such as `mirror.example:5000/hub/`; what is no part of a name is left out.
    pub fn new(prefix: Option<&str>, name: &str) -> Self {
        let plain = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-:/".contains(*c);
        let prefix: String = prefix.unwrap_or_default().chars().filter(plain).collect();
        match prefix.trim_end_matches('/') {
            "" => Self(name.to_owned()),
            prefix => Self(format!("{prefix}/{name}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        assert_eq!(BaseImage::new(None, DEBIAN).0, "debian:bookworm-slim");
        assert_eq!(BaseImage::new(Some("m.example:5000/hub/"), DEBIAN).0, "m.example:5000/hub/debian:bookworm-slim");
        assert_eq!(BaseImage::new(Some("m.example\nRUN x"), DEBIAN).0, "m.examplex/debian:bookworm-slim");
    }
}
