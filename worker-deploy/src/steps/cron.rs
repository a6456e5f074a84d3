//! Schedules of `cron` components: a crontab of the app, which is replaced with the routes ([`super::lead_here`]).
//!
//! Invariant: the lines are made of a schedule's own grammar, ids and component names; what runs is one script of ours, and
//! never two runs of a component at once. Absent: what a run printed, which the script keeps on the server, bounded.

use std::time::Duration;

use shared::{
    domain::{component::ComponentKind, release::ReleasePlan},
    failure::Failure,
    generate,
    ssh::{Exec, Session},
    store::deployments::Deployment,
};

use crate::release::{self, Release};

const RUN: &str = include_str!("../../../templates/cron/cron-run.sh");
const RUN_FILE: &str = "/opt/byop/bin/cron-run";
const USUAL_LIMIT_S: u32 = 600;

/// Makes sure that there is a cron daemon and that it runs.
const DAEMON: &str = r#"set -eu
if ! command -v cron >/dev/null && ! command -v crond >/dev/null; then
  command -v apt-get >/dev/null || { echo "no cron daemon is installed on the server" >&2; exit 1; }
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq -o DPkg::Lock::Timeout=300 update >/dev/null
  apt-get -qq -o DPkg::Lock::Timeout=300 install --no-install-recommends -y cron >/dev/null
fi
if [ -d /run/systemd/system ]; then
  systemctl enable --now cron >/dev/null 2>&1 || systemctl enable --now crond >/dev/null 2>&1
elif ! pidof cron crond >/dev/null; then
  if command -v cron >/dev/null; then cron; else crond; fi
fi
"#;

/// Readies the server for the release's schedules, if it has any.
pub async fn ready_cron(session: &Session, release: &Release) -> Result<(), Failure> {
    if release.plan.of_kind(ComponentKind::Cron).next().is_none() {
        return Ok(());
    }
    let how = Exec { timeout: Duration::from_secs(600), ..Exec::default() };
    session.script(DAEMON, &[], how).await?;
    Ok(session.put_file(RUN_FILE, RUN, "0700").await?)
}

/// The app's crontab with the schedules of a release; empty when it has none.
pub(super) fn crontab(target: &Deployment, plan: &ReleasePlan) -> String {
    let (project, file) = (release::project(target), release::compose_file(target));
    let line = |component: &shared::domain::component::Component| {
        let schedule = component.schedule.as_ref()?;
        let service = generate::service_names(component, target.id).remove(0);
        let limit = component.timeout_s.unwrap_or(USUAL_LIMIT_S);
        let log = format!("/opt/byop/apps/{}/cron/{}", target.app, component.name);
        Some(format!("{schedule} root {RUN_FILE} {project} {file} {service} {limit} {log}\n"))
    };
    plan.of_kind(ComponentKind::Cron).filter_map(|frozen| line(&frozen.component)).collect()
}
