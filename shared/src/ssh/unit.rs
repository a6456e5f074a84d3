//! A remote command with a name: started once, waited for by whoever comes, stopped explicitly.
//!
//! Each unit has a directory `/run/byop/units/<name>` with its log, its process group, its exit status and a lock. The
//! lock's file is held open by the running unit itself, so it runs exactly as long as the lock is held: a process id
//! that was given to somebody else cannot deceive, and a starter that is killed at any point leaves either no unit or
//! a whole one. The shell that holds the lock outlives a polite signal, so the lock is free only once the command has
//! ended. Where systemd runs, the unit also gets a scope of its own, so that the end of a login does not end it.

use std::time::Duration;

use super::{Exec, Session, SshError};

/// Exit statuses of the scripts below that no command of ours uses.
const STILL_RUNNING: i64 = 75;
const FENCED: i64 = 76;
/// One wait lasts no longer than this; then the connection is used again, which shows whether it still works.
const ONE_WAIT: Duration = Duration::from_secs(30);

/// Arguments: name, token, guard file, guard value, then the command.
const START: &str = r#"set -eu
name=$1 token=$2 guard=$3 value=$4; shift 4
unit=/run/byop/units/$name
umask 077
mkdir -p "$unit"
exec 8>>"$unit/lock"
flock -n 8 || exit 0
if [ -n "$guard" ] && [ "$(cat "$guard" 2>/dev/null)" != "$value" ]; then exit 76; fi
if [ -f "$unit/rc" ] && [ "$(cat "$unit/token" 2>/dev/null)" = "$token" ]; then exit 0; fi
rm -f "$unit/rc" "$unit/pid"
printf %s "$token" > "$unit/token"
: > "$unit/log"
scope=
[ -d /run/systemd/system ] && scope="systemd-run --scope --quiet --collect --unit=byop-$name"
setsid $scope sh -c 'dir=$1; shift
  trap : TERM
  echo $$ > "$dir/pid"
  "$@" 8>&-; rc=$?
  echo $rc > "$dir/rc.tmp"; mv "$dir/rc.tmp" "$dir/rc"' byop "$unit" "$@" </dev/null >>"$unit/log" 2>&1 &
"#;

/// Arguments: name, seconds, bytes of log to show. Prints the exit status, a newline and the end of the log.
const WAIT: &str = r#"set -eu
unit=/run/byop/units/$1
exec 8>>"$unit/lock"
flock -w "$2" 8 || exit 75
exec 8>&-
cat "$unit/rc" 2>/dev/null || echo 143
tail -c "$3" "$unit/log"
"#;

/// Arguments: name. Ends the unit's process group: politely, then not.
const STOP: &str = r#"set -eu
unit=/run/byop/units/$1
[ -d "$unit" ] || exit 0
exec 8>>"$unit/lock"
signal=TERM
for wait in 5 10; do
  flock -n 8 && exit 0
  i=0; while [ ! -s "$unit/pid" ] && [ $i -lt 50 ]; do i=$((i+1)); sleep 0.1; done
  kill -s $signal -- "-$(cat "$unit/pid")" 2>/dev/null || :
  [ $signal = TERM ] || [ ! -d /run/systemd/system ] || systemctl kill --signal=KILL "byop-$1.scope" 2>/dev/null || :
  flock -w $wait 8 && exit 0
  signal=KILL
done
exit 1
"#;

/// Arguments: name. Prints whether the unit runs.
const RUNNING: &str = r#"[ -d "/run/byop/units/$1" ] || { echo no; exit 0; }
exec 8>>"/run/byop/units/$1/lock"
if flock -n 8; then echo no; else echo yes; fi
"#;

/// A condition for starting: the file must hold this text. See the fencing of deployments.
#[derive(Clone, Debug)]
pub struct Guard {
    pub file: String,
    pub value: String,
}

/// A named remote command.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Made of ids: letters, digits and dashes.
    pub name: String,
    /// Who asks. The same token gets the kept result; another one runs the command again once the first run is over.
    pub token: String,
    pub argv: Vec<String>,
    pub timeout: Duration,
    pub guard: Option<Guard>,
}

/// How a unit ended.
#[derive(Clone, Debug)]
pub struct UnitResult {
    pub status: i64,
    /// The end of what it printed.
    pub log: String,
}

impl UnitResult {
    pub fn success(&self) -> bool {
        self.status == 0
    }
}

impl Session {
    /// Starts a unit unless it runs already, and waits for its end. When the time is over the unit is stopped.
    pub async fn run_unit(&self, unit: &Unit) -> Result<UnitResult, SshError> {
        self.start_unit(unit).await?;
        match tokio::time::timeout(unit.timeout, self.wait_unit(&unit.name)).await {
            Ok(result) => result,
            Err(_) => {
                self.stop_unit(&unit.name).await?;
                Err(SshError::UnitTimeout { seconds: unit.timeout.as_secs() })
            }
        }
    }

    /// Starts a unit unless it runs already or its result is kept for the same token.
    pub async fn start_unit(&self, unit: &Unit) -> Result<(), SshError> {
        let (file, value) = unit.guard.as_ref().map_or(("", ""), |g| (g.file.as_str(), g.value.as_str()));
        let mut args = vec![unit.name.as_str(), unit.token.as_str(), file, value];
        args.extend(unit.argv.iter().map(String::as_str));
        match self.script(START, &args, Exec::default()).await {
            Err(SshError::Failed { status: FENCED, .. }) => Err(SshError::Fenced),
            other => other.map(|_| ()),
        }
    }

    /// Waits for a unit that was started, by whomever, for however long it runs.
    pub async fn wait_unit(&self, name: &str) -> Result<UnitResult, SshError> {
        let seconds = ONE_WAIT.as_secs().to_string();
        loop {
            let how = Exec { timeout: ONE_WAIT + Duration::from_secs(30), ..Exec::default() };
            match self.script(WAIT, &[name, &seconds, "65536"], how).await {
                Err(SshError::Failed { status: STILL_RUNNING, .. }) => {}
                Err(e) => return Err(e),
                Ok(text) => return Ok(parse(&text)),
            }
        }
    }

    /// Ends a unit's processes; nothing when it does not run.
    pub async fn stop_unit(&self, name: &str) -> Result<(), SshError> {
        self.script(STOP, &[name], Exec::default()).await.map(|_| ())
    }

    pub async fn unit_runs(&self, name: &str) -> Result<bool, SshError> {
        Ok(self.script(RUNNING, &[name], Exec::default()).await?.trim() == "yes")
    }
}

fn parse(text: &str) -> UnitResult {
    let (status, log) = text.split_once('\n').unwrap_or((text, ""));
    UnitResult { status: status.trim().parse().unwrap_or(-1), log: log.to_owned() }
}
