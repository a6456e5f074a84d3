//! The switch: one file of routes is replaced, and from then on Traefik sends new requests to another release.
//!
//! Invariant: only the attempt that holds the app replaces it, and never with a release older than one that went live.

use shared::{
    domain::release::ReleasePlan,
    failure::Failure,
    generate::{self, Routes},
    ssh::{Exec, Session, SshError},
    store::deployments::Deployment,
};

use crate::release::Release;

const LOST: i64 = 76;

/// Arguments: the app's directory, holder, number of the release that may not be older than the epoch, the file, its new
/// content's file or nothing to remove it.
const REPLACE: &str = r#"set -eu
dir=$1 holder=$2 sequence=$3 file=$4 new=$5
exec 9>>"$dir/lock"
flock -w 30 9
[ "$(cat "$dir/holder" 2>/dev/null)" = "$holder" ] || exit 76
epoch=$(cat "$dir/epoch" 2>/dev/null || echo 0)
[ "${epoch:-0}" -le "$sequence" ] || exit 76
if [ -n "$new" ]; then mv "$new" "$file"; else rm -f "$file"; fi
sync "$(dirname "$file")"
"#;

/// Leads the app's domains to a release of it, this one or the one before.
pub async fn lead_to(
    session: &Session,
    release: &Release,
    target: &Deployment,
    plan: &ReleasePlan,
) -> Result<(), Failure> {
    let wrong = |e| Failure::permanent("release_invalid", format!("the routes cannot be written: {e}"));
    let resolver = "byop".parse().map_err(|_| Failure::permanent("release_invalid", "no resolver"))?;
    let spec = Routes { app: target.app, deployment: target.id, plan, cert_resolver: &resolver };
    match generate::routes(&spec).map_err(wrong)? {
        None => lead_nowhere(session, release).await,
        Some(text) => {
            // In the same file system, and not in the directory that Traefik watches.
            let new = format!("{}/routes.new", release.dir());
            session.put_file(&new, text, "0644").await?;
            replace(session, release, &new).await
        }
    }
}

/// Takes the app's routes away.
pub async fn lead_nowhere(session: &Session, release: &Release) -> Result<(), Failure> {
    replace(session, release, "").await
}

async fn replace(session: &Session, release: &Release, new: &str) -> Result<(), Failure> {
    let sequence = release.deployment.sequence.to_string();
    let (dir, holder, file) = (release.app_dir(), release.holder(), release.routes_file());
    match session.script(REPLACE, &[&dir, &holder, &sequence, &file, new], Exec::default()).await {
        Err(SshError::Failed { status: LOST, .. }) => Err(Failure::Stopped),
        other => Ok(other.map(|_| ())?),
    }
}
