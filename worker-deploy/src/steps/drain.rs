//! Waiting until nobody is served by what was replaced any more.

use std::time::Duration;

use shared::{
    failure::Failure,
    ssh::{Exec, Session},
};

use crate::release::Release;

/// Arguments: the release's project, the app, seconds, then `component=port` of what is asked from outside. Ends when no other
/// release of the app has an open connection at such a port, or the time is over. Prints what was left.
const DRAIN: &str = r#"own=$1 app=$2 seconds=$3; shift 3
open() {
  docker ps -q --filter "label=byop.app=$app" | xargs -r docker inspect --format \
    '{{.State.Pid}} {{index .Config.Labels "com.docker.compose.project"}} {{index .Config.Labels "byop.component"}}' |
  while read -r pid project component; do
    [ "$project" != "$own" ] || continue
    for pair in "$@"; do
      [ "${pair%=*}" = "$component" ] || continue
      cat "/proc/$pid/net/tcp" "/proc/$pid/net/tcp6" 2>/dev/null |
        awk -v port="$(printf '%04X' "${pair#*=}")" '$4 == "01" { n = split($2, part, ":"); if (part[n] == port) print }'
    done
  done | wc -l
}
until=$(($(date +%s) + seconds))
left=$(open "$@")
while [ "$left" -gt 0 ] && [ "$(date +%s)" -lt "$until" ]; do sleep 0.3; left=$(open "$@"); done
echo "$left"
"#;

/// Lets requests and web sockets of the replaced releases end, for at most `seconds`. Returns how many were open then.
pub async fn drain(session: &Session, release: &Release, ports: &[String], seconds: u32) -> Result<u64, Failure> {
    if ports.is_empty() {
        return Ok(0);
    }
    let (project, app, limit) = (release.project(), release.deployment.app.to_string(), seconds.to_string());
    let mut args = vec![project.as_str(), &app, &limit];
    args.extend(ports.iter().map(String::as_str));
    let how = Exec { timeout: Duration::from_secs(u64::from(seconds) + 60), ..Exec::default() };
    let left = session.script(DRAIN, &args, how).await?;
    Ok(left.trim().parse().unwrap_or(0))
}
