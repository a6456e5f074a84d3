//! Taking the right to change an app on a server, so that an attempt that lost its lease can start nothing more there.

use shared::{
    failure::Failure,
    ssh::{Exec, Session, SshError},
};

use super::hold::{held, under_hold};
use crate::release::Release;

const NEWER_ATTEMPT: i64 = 76;
const NEWER_RELEASE: i64 = 77;
const OTHERS: i64 = 78;

/// Arguments: the app's directory, the release's number (0 for work that is not a new release), job, attempt, and `any` or
/// `own`: then an app that another job holds, or that nothing was done for yet, is left alone.
/// `epoch` holds the highest release number that ever went live, `holder` who works on the app now.
const SCRIPT: &str = r#"set -eu
dir=$1 sequence=$2 job=$3 attempt=$4 whose=$5
umask 077
[ "$whose" = any ] || [ -d "$dir" ] || exit 78
mkdir -p "$dir"
exec 9>>"$dir/lock"
flock -w 30 9
holder_job= holder_attempt=0
[ ! -s "$dir/holder" ] || read -r holder_job holder_attempt < "$dir/holder"
if [ "$holder_job" = "$job" ] && [ "$holder_attempt" -gt "$attempt" ]; then exit 76; fi
if [ "$whose" = own ] && [ -n "$holder_job" ] && [ "$holder_job" != "$job" ]; then exit 78; fi
if [ "$sequence" -gt 0 ]; then
  epoch=$(cat "$dir/epoch" 2>/dev/null || echo 0)
  if [ "${epoch:-0}" -gt "$sequence" ]; then exit 77; fi
fi
echo "$job $attempt" > "$dir/holder.tmp"; sync "$dir/holder.tmp"; mv "$dir/holder.tmp" "$dir/holder"
"#;

/// Argument: the release's number. Never lowers it.
const RAISE: &str = under_hold!(
    r#"sequence=$1
epoch=$(cat "$dir/epoch" 2>/dev/null || echo 0)
[ "${epoch:-0}" -lt "$sequence" ] || exit 0
echo "$sequence" > "$dir/epoch.tmp"; sync "$dir/epoch.tmp"; mv "$dir/epoch.tmp" "$dir/epoch"
"#
);

/// Claims the app on the server for this attempt. `deploying` also refuses a release older than one that went live.
pub async fn claim(session: &Session, release: &Release, deploying: bool) -> Result<(), Failure> {
    let sequence = if deploying { release.deployment.sequence } else { 0 };
    match take(session, release, sequence, "any").await {
        Err(SshError::Failed { status: NEWER_ATTEMPT, .. }) => Err(Failure::Stopped),
        Err(SshError::Failed { status: NEWER_RELEASE, .. }) => Err(outdated()),
        other => Ok(other?),
    }
}

/// Claims the app for what follows the end of a job; false when another job works on it by now, or nothing is there.
pub async fn claim_if_own(session: &Session, release: &Release) -> Result<bool, Failure> {
    match take(session, release, 0, "own").await {
        Err(SshError::Failed { status: NEWER_ATTEMPT, .. }) => Err(Failure::Stopped),
        Err(SshError::Failed { status: OTHERS, .. }) => Ok(false),
        other => Ok(other.map(|()| true)?),
    }
}

async fn take(session: &Session, release: &Release, sequence: i64, whose: &str) -> Result<(), SshError> {
    let (job, attempt) = (release.fence.job.to_string(), release.fence.attempt.to_string());
    let args = [release.app_dir(), sequence.to_string(), job, attempt, whose.to_owned()];
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    session.script(SCRIPT, &args, Exec::default()).await.map(|_| ())
}

/// Why a release does not come after a newer one.
pub fn outdated() -> Failure {
    Failure::permanent("outdated", "a newer release of this app went live on this server meanwhile")
}

/// Records on the server that this release went live: an older one cannot come after it.
pub async fn raise_epoch(session: &Session, release: &Release) -> Result<(), Failure> {
    let sequence = release.deployment.sequence.to_string();
    held(session, release, RAISE, &[&sequence], Exec::default()).await.map(|_| ())
}
