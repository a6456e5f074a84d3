//! Next's server with only the packages that its build traced, in the place that the app has in the image.
//!
//! Where the traced tree begins is a setting of the app, so the directory of `server.js` is looked for: it is the app's
//! own path, from somewhere on. Absent: which versions of Next trace.

use crate::generate::plan::{Artefact, Stage, Step};

/// Next reads the two as the defaults of its settings `output` and `outputFileTracingRoot`.
const TRACING: &[&str] = &["env", "NEXT_PRIVATE_STANDALONE=true", "NEXT_PRIVATE_OUTPUT_TRACE_ROOT=/app"];

/// `$0` is the directory of Next's build. Images that the server keeps for later are written where every image
/// of ours may; files of `public` and those for browsers are not traced.
const GATHER: &str = r#"set -e; rel=$PWD; until [ -f "$0/standalone/$rel/server.js" ]; do if [ -z "$rel" ]; then echo "next build left no server in $0/standalone" >&2; exit 1; fi; case $rel in */*) rel=${rel#*/} ;; *) rel= ;; esac; done; root=/out${PWD%"$rel"}; mkdir -p "$root"; cp -a "$0/standalone/." "$root"; cp -a "$0/static" "/out$PWD/$0/"; rm -rf "/out$PWD/$0/cache"; ln -s /tmp "/out$PWD/$0/cache"; if [ -d public ]; then cp -a public "/out$PWD/"; fi"#;

/// The process of the image, and what it needs. `directory` is the app's in the image.
pub fn start(dist: &str, directory: &str, build: &mut Stage) -> (Vec<String>, Vec<Artefact>) {
    for step in &mut build.build {
        step.argv.splice(0..0, TRACING.iter().map(|word| (*word).to_owned()));
    }
    build.build.push(Step::new(&["env", "-C", directory, "sh", "-c", GATHER, dist]));
    (["node", "server.js"].map(str::to_owned).into(), vec![Artefact::built("/out/app", "/app")])
}
