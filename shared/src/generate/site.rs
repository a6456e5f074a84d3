//! Finished files behind a static server: what is served from where, and what a missing page is.
//!
//! Invariant: the server's configuration is made of constants, checked ports and names that [`Site`] lets in; nothing of
//! a repository is written into it. Every answer carries `nosniff`, hidden files are never served, a missing page of a
//! site is a 404 with the site's own page, and only an app with routes of its own gets its first page instead.

use serde::Serialize;

use super::{
    images::{self, BaseImage},
    look::Look,
    plan::{Artefact, Health, Runtime},
    probe::Probe,
};
use crate::domain::{HealthPath, Port};

const PORT: Port = Port::saturating(8080);
/// Where the server itself answers health checks; no file can take its place.
const HEALTH: &str = "/healthz";

/// What is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Site {
    /// The file that answers navigation to a path without a file, for an app with routes of its own.
    pub spa: Option<&'static str>,
    /// Directories whose file names carry a hash of their content.
    pub immutable: &'static [&'static str],
}

impl Site {
    /// Pages of which each is a file.
    pub const PAGES: Self = Self { spa: None, immutable: &[] };
    /// One page with routes of its own.
    pub const APP: Self = Self { spa: Some("/index.html"), immutable: &[] };

    pub const fn with_immutable(self, immutable: &'static [&'static str]) -> Self {
        Self { immutable, ..self }
    }
}

/// The image that serves what a stage left in `from`; a path without a slash in front lies in the build's context.
pub fn runtime(look: &Look<'_>, site: Site, from: &str) -> Runtime {
    let port = look.wishes.port.unwrap_or(PORT);
    let wished = look.wishes.health_path.clone();
    let path = wished.or_else(|| HEALTH.parse().ok()).unwrap_or_else(HealthPath::root);
    let probe = Probe { port, path, bad_from: 400 };
    let from = format!("{}/", from.trim_end_matches('/'));
    let mut runtime = Runtime::on(BaseImage::new(images::NGINX));
    runtime.artefacts = vec![Artefact::built(from, "/tmp/site/")];
    runtime.site = Some(site);
    runtime.user = "101:101";
    runtime.port = Some(port);
    runtime.health = Some(Health::new(probe, Probe::bash));
    runtime.stop_signal = Some("SIGQUIT");
    runtime.start = ["nginx", "-g", "daemon off;"].map(str::to_owned).into();
    runtime
}
