//! Changing what belongs to an app on its server under the app's lock.
//!
//! Invariant: a script here runs only while the attempt holds the app; one for what an ended job left runs only while that
//! job does not hold it, that is while no replay of it works on the same release. Absent: taking hold ([`super::claim`]).

use shared::{
    failure::Failure,
    ssh::{Exec, Session, SshError},
};

use crate::release::Release;

const LOST: i64 = 76;

/// A script that begins under the app's lock. It finds the app's directory in `$dir` and its own arguments from `$1` on.
macro_rules! under_hold {
    ($body:literal) => {
        concat!(
            r#"set -eu
dir=$1 mode=$2 job=$3 attempt=$4; shift 4
umask 077
if [ ! -d "$dir" ]; then [ "$mode" = apart ] && exit 0; exit 76; fi
exec 9>>"$dir/lock"
flock -w 30 9
holder=$(cat "$dir/holder" 2>/dev/null || :)
case $mode in
  holding) [ "$holder" = "$job $attempt" ] || exit 76 ;;
  *) [ "${holder%% *}" != "$job" ] || exit 76 ;;
esac
"#,
            $body
        )
    };
}

pub(super) use under_hold;

/// Runs a script made with [`under_hold`]; [`Failure::Stopped`] when somebody else works on the app.
pub(super) async fn held(
    session: &Session,
    release: &Release,
    script: &'static str,
    args: &[&str],
    how: Exec,
) -> Result<String, Failure> {
    let mode = if release.is_held() { "holding" } else { "apart" };
    let (dir, job, attempt) = (release.app_dir(), release.fence.job.to_string(), release.fence.attempt.to_string());
    let head = [dir.as_str(), mode, &job, &attempt];
    let args: Vec<&str> = head.into_iter().chain(args.iter().copied()).collect();
    match session.script(script, &args, how).await {
        Err(SshError::Failed { status: LOST, .. }) => Err(Failure::Stopped),
        other => Ok(other?),
    }
}
