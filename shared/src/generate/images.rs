//! The base images, in one dated table. Looked at 2026-11: each line is the newest supported series of its stack.
//!
//! Invariant: a name from here is written into a Dockerfile as it stands, behind the operator's own prefix if there is
//! one. Absent: digests; the registry mirror that builds pull through decides which bytes a tag means.

use serde::Serialize;

pub const NODE: &str = "node:22-slim";
pub const PYTHON: &str = "python:3.11-slim";
pub const GO: &str = "golang:1.26-bookworm";
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
        assert_eq!(BaseImage::new(None, NODE).0, "node:22-slim");
        assert_eq!(BaseImage::new(Some("m.example:5000/hub/"), NODE).0, "m.example:5000/hub/node:22-slim");
        assert_eq!(BaseImage::new(Some("m.example\nRUN x"), NODE).0, "m.examplex/node:22-slim");
    }
}
