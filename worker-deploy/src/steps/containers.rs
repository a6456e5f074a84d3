//! The containers of a release as Docker sees them.
//!
//! Absent: what to make of it: [`super::healthy`] waits for them to be well, and the evidence says why they are not.

use shared::{
    failure::Failure,
    ssh::{Exec, Session},
};

use crate::release::Release;

/// Argument: project. A line for each container, in the order of [`Container`]'s fields. The address is the one in the
/// app's network, whose name begins with `a-`.
const CONTAINERS: &str = r#"docker ps -aq --filter "label=com.docker.compose.project=$1" | xargs -r docker inspect --format \
'{{.ID}}	{{.State.StartedAt}}	{{index .Config.Labels "byop.component"}}	{{.State.Status}}	{{with .State.Health}}{{.Status}}{{else}}-{{end}}	{{.State.ExitCode}}	{{.State.OOMKilled}}	{{.RestartCount}}	{{range $name, $net := .NetworkSettings.Networks}}{{if eq (slice $name 0 2) "a-"}}{{$net.IPAddress}}{{end}}{{end}}'
"#;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    pub id: String,
    /// When its process was started last, as Docker writes it.
    pub started: String,
    pub component: String,
    pub status: String,
    /// What its health check says; `-` when it has none.
    pub health: String,
    pub exit: i64,
    pub out_of_memory: bool,
    /// How often Docker started it anew since somebody started it.
    pub restarts: i64,
    pub address: String,
}

impl Container {
    pub fn read(line: &str) -> Option<Self> {
        let mut words = line.split('\t').map(str::to_owned);
        Some(Self {
            id: words.next()?,
            started: words.next()?,
            component: words.next()?,
            status: words.next()?,
            health: words.next()?,
            exit: words.next()?.parse().ok()?,
            out_of_memory: words.next()? == "true",
            restarts: words.next()?.parse().ok()?,
            address: words.next()?,
        })
    }

    /// Whether it has a health check.
    pub fn is_tested(&self) -> bool {
        self.health != "-"
    }

    /// Whether it runs and its health check, if it has one, is content.
    pub fn is_well(&self) -> bool {
        self.status == "running" && matches!(self.health.as_str(), "healthy" | "-")
    }

    /// Whether its process ended since somebody started it.
    pub fn has_ended(&self) -> bool {
        self.restarts > 0 || matches!(self.status.as_str(), "exited" | "restarting" | "dead")
    }
}

/// The containers of the release, running or not.
pub async fn containers(session: &Session, release: &Release) -> Result<Vec<Container>, Failure> {
    let text = session.script(CONTAINERS, &[&release.project()], Exec::default()).await?;
    Ok(text.lines().filter_map(Container::read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read() {
        let read = |rest: &str| Container::read(&format!("id\tt\tweb\t{rest}")).expect("a container");
        let crashed = read("restarting\t-\t3\tfalse\t2\t");
        assert!(crashed.has_ended() && !crashed.is_well() && crashed.exit == 3 && crashed.address.is_empty());
        let well = read("running\thealthy\t0\tfalse\t0\t10.0.0.2");
        assert!(well.is_well() && well.is_tested() && !well.has_ended() && well.address == "10.0.0.2");
        let untested = read("running\t-\t0\tfalse\t0\t10.0.0.2");
        assert!(untested.is_well() && !untested.is_tested());
        assert!(!read("running\tunhealthy\t0\tfalse\t0\t10.0.0.2").is_well());
        assert!(read("exited\t-\t137\ttrue\t0\t").out_of_memory);
        for bad in ["", "running", "running\t-\tx\tfalse\t0\t"] {
            assert_eq!(Container::read(&format!("id\tt\tweb\t{bad}")), None, "{bad}");
        }
    }
}
