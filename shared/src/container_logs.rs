//! What the containers of a component print, read on their server while somebody asks.
//!
//! Invariants: nothing leaves here before the secrets of the deployment are masked in it; what is read is bounded in lines,
//! bytes and time; nothing of it is kept. Absent: who may ask, and how many at once.

use std::{collections::BTreeMap, time::Duration};

use secrecy::ExposeSecret;

use crate::{
    domain::{component::ComponentName, status::ServerStatus},
    failure::Failure,
    login,
    redact::{LogFilter, Redactor},
    secrets::{MasterKey, Place},
    ssh::{Exec, Followed, Session},
    store::{
        Db,
        deployments::{Deployment, ENV_FIELD},
        servers, services,
    },
};

/// The most lines that can be asked for.
pub const MOST_LINES: u32 = 5000;
/// How long they can be followed.
pub const LONGEST: Duration = Duration::from_secs(15 * 60);
/// How many bytes of them a follower gets.
pub const MOST_BYTES: usize = 32 * 1024 * 1024;
const ONE_READ: Duration = Duration::from_secs(60);

/// Arguments: a label, its value, the component, lines, unix seconds or nothing. Prints the last lines of all containers in
/// the order of their time, at most a megabyte. A line that was cut in front has no time and is left out.
const TAIL: &str = r#"set -u
label=$1 value=$2 component=$3 tail=$4 since=$5
timed() { tail -c 1000000 | grep -aE '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z '; }
ids=$(timeout 20 docker ps -aq --filter "label=$label=$value" --filter "label=byop.component=$component") || exit 70
printf '%s\n' "$ids" | head -n 32 | while read -r id; do
  [ -z "$id" ] || timeout 30 docker logs --timestamps --tail "$tail" ${since:+--since "$since"} "$id" 2>&1 </dev/null | timed
done | sort -s -k 1,1 | tail -n "$tail" | timed
exit 0
"#;

/// The same, then what follows. Ends when all containers have, after the seconds in the last argument, or when its input
/// does.
const FOLLOW: &str = r#"set -u
label=$1 value=$2 component=$3 tail=$4 since=$5 seconds=$6
exec 3<&0
ids=$(timeout 20 docker ps -aq --filter "label=$label=$value" --filter "label=byop.component=$component" </dev/null) || exit 70
pids=
for id in $(printf '%s\n' "$ids" | head -n 32); do
  timeout "$seconds" docker logs --follow --timestamps --tail "$tail" ${since:+--since "$since"} "$id" 2>&1 </dev/null 3<&- &
  pids="$pids $!"
done
[ -n "$pids" ] || exit 0
{ cat <&3; kill $pids; } >/dev/null 2>&1 &
watch=$!
wait $pids
kill "$watch" 2>/dev/null
exit 0
"#;

/// Whose logs.
#[derive(Clone, Copy)]
pub struct Which<'a> {
    pub deployment: &'a Deployment,
    pub component: &'a ComponentName,
    /// Whether it is a managed service.
    pub managed: bool,
}

/// How much of them.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// The last so many lines, at most [`MOST_LINES`].
    pub tail: u32,
    /// Only what was printed since then, in unix seconds.
    pub since: Option<i64>,
}

/// Why logs cannot be read, for the client.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct NotReadable {
    pub code: &'static str,
    pub message: String,
}

impl From<Failure> for NotReadable {
    fn from(e: Failure) -> Self {
        match e {
            Failure::Transient { code, message } | Failure::Permanent { code, message } => Self { code, message },
            Failure::Later(_) | Failure::Stopped => Self { code: "not_ready", message: "not ready yet".to_owned() },
        }
    }
}

/// Where logs are read: the engine's database and key.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    pub db: &'a Db,
    pub master: &'a MasterKey,
    /// Whether clients' machines may have private addresses.
    pub dev_mode: bool,
}

impl Reader<'_> {
    /// The last lines, oldest first, each with its time in front.
    pub async fn tail(&self, which: Which<'_>, extent: Extent) -> Result<String, NotReadable> {
        let redactor = self.redactor(which.deployment).await?;
        let session = self.connect(which.deployment).await?;
        let args = arguments(which, extent);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let read = session.script(TAIL, &args, Exec { timeout: ONE_READ, ..Exec::default() }).await;
        session.close().await;
        Ok(redactor.text(&read.map_err(Failure::from)?))
    }

    /// The last lines, and what follows them.
    pub async fn follow(&self, which: Which<'_>, extent: Extent) -> Result<Following, NotReadable> {
        let filter = LogFilter::new(self.redactor(which.deployment).await?);
        let session = self.connect(which.deployment).await?;
        let mut args = arguments(which, extent).to_vec();
        args.push(LONGEST.as_secs().to_string());
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let followed = session.follow(FOLLOW, &args, LONGEST).await.map_err(Failure::from)?;
        Ok(Following { followed: Some(followed), failed: None, filter, _session: session })
    }

    async fn connect(&self, deployment: &Deployment) -> Result<Session, Failure> {
        let server = servers::get(self.db, deployment.client, deployment.server).await?;
        let server = server.filter(|s| s.status == ServerStatus::Ready && s.delete_requested_at.is_none());
        let none = || Failure::permanent("server_not_ready", "the server is not ready");
        login::connect(self.master, &server.ok_or_else(none)?, self.dev_mode).await
    }

    /// Masks every value of the frozen environment and the passwords of the app's services, as the deployment's log does.
    async fn redactor(&self, deployment: &Deployment) -> Result<Redactor, Failure> {
        let row = deployment.id.to_string();
        let place = Place { client: deployment.client, field: ENV_FIELD, row: &row };
        let env = self.master.open(place, &deployment.env_sealed)?;
        let damaged = |_| Failure::permanent("env_invalid", "the stored environment is damaged");
        let env: BTreeMap<String, String> = serde_json::from_slice(&env).map_err(damaged)?;
        let mut secrets: Vec<String> = env.into_values().collect();
        for service in services::of_app(self.db, deployment.client, deployment.server, deployment.app).await? {
            let row = service.id.to_string();
            let place = services::place(service.client, &row);
            let password = self.master.open_text(place, &service.password_sealed)?;
            secrets.push(password.expose_secret().to_owned());
        }
        Ok(Redactor::new(secrets))
    }
}

fn arguments(which: Which<'_>, extent: Extent) -> [String; 5] {
    let (label, value) = match which.managed {
        true => ("byop.managed", which.deployment.app.to_string()),
        false => ("byop.deployment", which.deployment.id.to_string()),
    };
    let since = extent.since.map(|seconds| seconds.max(0).to_string()).unwrap_or_default();
    let tail = extent.tail.min(MOST_LINES).to_string();
    [label.to_owned(), value, which.component.to_string(), tail, since]
}

/// Logs that are being followed. Dropping it ends the reading at the server.
pub struct Following {
    followed: Option<Followed>,
    /// Why it cannot be read on, until that is told.
    failed: Option<NotReadable>,
    filter: LogFilter,
    _session: Session,
}

impl Following {
    /// The next lines; `None` when there will be no more. What was read before a failure is told before it.
    pub async fn next(&mut self) -> Result<Option<String>, NotReadable> {
        loop {
            let Some(followed) = self.followed.as_mut() else { return self.failed.take().map_or(Ok(None), Err) };
            let lines = match followed.next().await {
                Ok(Some(bytes)) => self.filter.push(&bytes),
                Ok(None) => self.finish(),
                Err(e) => {
                    self.failed = Some(Failure::from(e).into());
                    self.finish()
                }
            };
            if !lines.is_empty() {
                return Ok(Some(lines.join("\n")));
            }
        }
    }

    fn finish(&mut self) -> Vec<String> {
        self.followed = None;
        self.filter.finish()
    }
}

#[cfg(test)]
mod tests;
