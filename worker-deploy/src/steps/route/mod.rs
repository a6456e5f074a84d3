//! The switch: the file of an app's routes and its crontab are replaced under one lock, and from then on Traefik sends new
//! requests to another release, and schedules run its components.
//!
//! Invariants: only the attempt that holds the app leads it to its release, and never to one older than one that went
//! live; a release that goes leads away only from itself. The file `serving` names the release that is led to. Absent:
//! whether what is led to is well.

use shared::{
    domain::{AppId, DeploymentId, release::ReleasePlan},
    failure::Failure,
    generate::{self, Routes},
    ssh::{Exec, Session},
    store::deployments::Deployment,
};

use super::{
    cron::crontab,
    hold::{held, under_hold},
};
use crate::release::Release;

/// Arguments: `to` or `from` a release, the release, its number, the file of routes, the crontab and its new text, and
/// what is led to then (nothing: the app serves nobody), with the bytes of its routes, which are the input. An empty text
/// removes its file. Staging is outside the directories that Traefik and cron read, in the same file systems.
const LEAD: &str = under_hold!(
    r#"way=$1 release=$2 sequence=$3 routes=$4 crontab=$5 schedule=$6 target=$7 bytes=$8
serving=$(cat "$dir/serving" 2>/dev/null || :)
if [ "$way" = from ]; then
  [ -z "$serving" ] || [ "$serving" = "$release" ] || exit 0
else
  epoch=$(cat "$dir/epoch" 2>/dev/null || echo 0)
  [ "${epoch:-0}" -le "$sequence" ] || exit 76
fi
cat >"$dir/routes.new"
[ "$(wc -c <"$dir/routes.new")" -eq "$bytes" ] || { echo "the routes did not arrive whole" >&2; exit 74; }
printf %s "$target" >"$dir/serving.new"; sync "$dir/serving.new"; mv "$dir/serving.new" "$dir/serving"
if [ "$bytes" -gt 0 ]; then
  chmod 644 "$dir/routes.new"; sync "$dir/routes.new"; mv "$dir/routes.new" "$routes"
else
  rm -f "$dir/routes.new" "$routes"
fi
sync "${routes%/*}"
if [ -z "$schedule" ]; then rm -f "$crontab"; exit 0; fi
# Cron reads no file with a point in its name.
printf %s "$schedule" >"$crontab.new"
chmod 644 "$crontab.new"
mv "$crontab.new" "$crontab"
"#
);

/// What an app is led to.
#[derive(Default)]
struct Target {
    serving: String,
    routes: String,
    schedule: String,
}

impl Target {
    fn new(target: &Deployment) -> Result<Self, Failure> {
        let plan = target.plan()?;
        Ok(Self {
            serving: target.id.to_string(),
            routes: routes_text(target.app, target.id, &plan)?.unwrap_or_default(),
            schedule: crontab(target, &plan),
        })
    }
}

/// The text of the file that leads an app's domains to a release; `None` when nothing of it is to be reached.
pub fn routes_text(app: AppId, deployment: DeploymentId, plan: &ReleasePlan) -> Result<Option<String>, Failure> {
    let wrong = |e| Failure::permanent("release_invalid", format!("the routes cannot be written: {e}"));
    let resolver = "byop".parse().map_err(|_| Failure::permanent("release_invalid", "no resolver"))?;
    generate::routes(&Routes { app, deployment, plan, cert_resolver: &resolver }).map_err(wrong)
}

/// Leads the app's domains to the release, whose schedules count from then on.
pub async fn lead_here(session: &Session, release: &Release) -> Result<(), Failure> {
    lead(session, release, "to", Target::new(&release.deployment)?).await
}

/// Leads the app's domains away from the release, to another one of the app or nowhere. Where they do not lead to it,
/// nothing happens.
pub async fn lead_away(session: &Session, release: &Release, to: Option<&Deployment>) -> Result<(), Failure> {
    let target = to.map(Target::new).transpose()?.unwrap_or_default();
    lead(session, release, "from", target).await
}

async fn lead(session: &Session, release: &Release, way: &str, target: Target) -> Result<(), Failure> {
    let (id, sequence) = (release.deployment.id.to_string(), release.deployment.sequence.to_string());
    let (routes, crontab, bytes) = (release.routes_file(), release.crontab(), target.routes.len().to_string());
    let args = [way, &id, &sequence, &routes, &crontab, &target.schedule, &target.serving, &bytes];
    let how = Exec { stdin: target.routes.into(), ..Exec::default() };
    held(session, release, LEAD, &args, how).await.map(|_| ())
}

#[cfg(test)]
mod tests;
