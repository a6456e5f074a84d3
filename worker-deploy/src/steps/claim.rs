//! Taking the right to change an app on a server, so that an attempt that lost its lease can start nothing more there.

use shared::{
    failure::Failure,
    ssh::{Exec, Session, SshError},
};

use crate::release::Release;

const NEWER_ATTEMPT: i64 = 76;
const NEWER_RELEASE: i64 = 77;

/// Arguments: the app's directory, the release's number (0 for work that is not a new release), job, attempt.
/// `epoch` holds the highest release number that ever went live, `holder` who works on the app now.
const SCRIPT: &str = r#"set -eu
dir=$1 sequence=$2 job=$3 attempt=$4
umask 077
mkdir -p "$dir"
exec 9>>"$dir/lock"
flock -w 30 9
holder_job= holder_attempt=0
[ ! -s "$dir/holder" ] || read -r holder_job holder_attempt < "$dir/holder"
if [ "$holder_job" = "$job" ] && [ "$holder_attempt" -gt "$attempt" ]; then exit 76; fi
if [ "$sequence" -gt 0 ]; then
  epoch=$(cat "$dir/epoch" 2>/dev/null || echo 0)
  if [ "${epoch:-0}" -gt "$sequence" ]; then exit 77; fi
fi
echo "$job $attempt" > "$dir/holder.tmp"; sync "$dir/holder.tmp"; mv "$dir/holder.tmp" "$dir/holder"
"#;

/// Arguments: the app's directory, the release's number. Never lowers it.
const RAISE: &str = r#"set -eu
dir=$1 sequence=$2
umask 077
exec 9>>"$dir/lock"
flock -w 30 9
epoch=$(cat "$dir/epoch" 2>/dev/null || echo 0)
[ "${epoch:-0}" -lt "$sequence" ] || exit 0
echo "$sequence" > "$dir/epoch.tmp"; sync "$dir/epoch.tmp"; mv "$dir/epoch.tmp" "$dir/epoch"
"#;

/// Claims the app on the server for this attempt. `deploying` also refuses a release older than one that went live.
pub async fn claim(session: &Session, release: &Release, deploying: bool) -> Result<(), Failure> {
    let sequence = if deploying { release.deployment.sequence.to_string() } else { "0".to_owned() };
    let (job, attempt) = (release.fence.job.to_string(), release.fence.attempt.to_string());
    let args = [release.app_dir(), sequence, job, attempt];
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match session.script(SCRIPT, &args, Exec::default()).await {
        Err(SshError::Failed { status: NEWER_ATTEMPT, .. }) => Err(Failure::Stopped),
        Err(SshError::Failed { status: NEWER_RELEASE, .. }) => {
            Err(Failure::permanent("outdated", "a newer release of this app went live on this server meanwhile"))
        }
        other => Ok(other.map(|_| ())?),
    }
}

/// Records on the server that this release went live: an older one cannot come after it.
pub async fn raise_epoch(session: &Session, release: &Release) -> Result<(), Failure> {
    let (dir, sequence) = (release.app_dir(), release.deployment.sequence.to_string());
    Ok(session.script(RAISE, &[&dir, &sequence], Exec::default()).await.map(|_| ())?)
}
