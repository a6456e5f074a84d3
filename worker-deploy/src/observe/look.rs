//! One look at a server: a script that only reads, over one connection.
//!
//! Invariants: nothing on the server is changed, locked or waited for; the answer is bounded and ends with a line that says
//! that it is whole. Absent: what the answer means ([`shared::domain::observed`]).

use std::time::Duration;

use shared::{
    domain::observed::{self, Facts},
    failure::Failure,
    generate, login,
    secrets::MasterKey,
    ssh::Exec,
    store::servers::Server,
};

/// Docker under load takes its time; a look that takes longer says nothing of now.
const LIMIT: Duration = Duration::from_secs(60);

/// Argument: the directory of routes. Prints a JSON object a line, see `observed::read`. Ends with 70 when Docker does not
/// answer.
const LOOK: &str = r#"set -u
routes=$1
number() { case $1 in ''|*[!0-9]*) echo null ;; *) echo "$1" ;; esac; }
field() { sed -n "s/^$1 //p" "$2" 2>/dev/null; }
asked() { timeout 20 "$@" 2>/dev/null; [ $? -ne 124 ] || exit 70; }
ids=$(timeout 20 docker ps -aq --no-trunc) || exit 70
ids=$(printf '%s\n' "$ids" | head -n 500)
if [ -n "$ids" ]; then
  seen=$(asked docker inspect --type container --format '{"t":"container","id":{{json .ID}},"name":{{json .Name}},'\
'"app":{{json (index .Config.Labels "byop.app")}},"deployment":{{json (index .Config.Labels "byop.deployment")}},'\
'"managed":{{json (index .Config.Labels "byop.managed")}},"service":{{json (index .Config.Labels "byop.service")}},'\
'"edge":{{json (index .Config.Labels "byop.edge")}},"component":{{json (index .Config.Labels "byop.component")}},'\
'"once":{{json (index .Config.Labels "com.docker.compose.oneoff")}},"image":{{json .Config.Image}},"image_id":{{json .Image}},'\
'"state":{{json .State.Status}},"health":{{with .State.Health}}{{json .Status}}{{else}}null{{end}},'\
'"restarts":{{json .RestartCount}},"exit":{{json .State.ExitCode}},"oom":{{json .State.OOMKilled}},'\
'"started":{{json .State.StartedAt}},"memory":{{json .HostConfig.Memory}},"nano_cpus":{{json .HostConfig.NanoCPUs}},'\
'"ports":{{json .NetworkSettings.Ports}}}' $ids) || exit 70
  [ -n "$seen" ] || exit 70
  printf '%s\n' "$seen"
  images=$(asked docker inspect --type container --format '{{.Image}}' $ids) || exit 70
  images=$(printf '%s\n' "$images" | sort -u)
  [ -z "$images" ] || asked docker inspect --type image --format '{"t":"image","id":{{json .ID}},"digests":{{json .RepoDigests}}}' $images
  pids=$(asked docker inspect --type container --format '{{.ID}} {{.State.Pid}}' $ids) || exit 70
  printf '%s\n' "$pids" | while read -r id pid; do
    [ "${pid:-0}" -gt 0 ] || continue
    group=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$pid/cgroup" 2>/dev/null)
    memory=$(cat "$group/memory.current" 2>/dev/null)
    printf '{"t":"usage","id":"%s","memory":%s,"cached":%s,"cpu_usec":%s}\n' "$id" "$(number "$memory")" \
      "$(number "$(field inactive_file "$group/memory.stat")")" "$(number "$(field usage_usec "$group/cpu.stat")")"
  done
fi
for file in "$routes"/*.yaml; do
  name=${file##*/} name=${name%.yaml}
  case $name in *[!0-9a-f]*) continue ;; esac
  sum=$(sha256sum < "$file" 2>/dev/null) || continue
  printf '{"t":"routes","app":"%s","sha256":"%s"}\n' "$name" "${sum%% *}"
done
root=$(timeout 20 docker info --format '{{.DockerRootDir}}') || exit 70
timeout 10 df -P -k "${root:-/}" | awk 'NR == 2 { n = NF; printf "{\"t\":\"disk\",\"total\":%.0f,\"used\":%.0f,\"free\":%.0f}\n",
  $(n-4) * 1024, $(n-3) * 1024, $(n-2) * 1024 }'
read -r one five fifteen rest < /proc/loadavg
read -r up rest < /proc/uptime
awk -v cpus="$(nproc)" -v one="$one" -v five="$five" -v fifteen="$fifteen" -v up="$up" '
  $1 == "MemTotal:" { all = $2 * 1024 }
  $1 == "MemAvailable:" { free = $2 * 1024 }
  END { printf "{\"t\":\"machine\",\"memory_total\":%.0f,\"memory_free\":%.0f,\"cpus\":%d,\"load\":[%s,%s,%s],\"uptime\":%s}\n",
    all, free, cpus, one, five, fifteen, up }' /proc/meminfo
echo '{"t":"end"}'
"#;

/// What is on the server now.
pub async fn look(master: &MasterKey, server: &Server, dev_mode: bool) -> Result<Facts, Failure> {
    let session = login::connect(master, server, dev_mode).await?;
    let how = Exec { timeout: LIMIT, ..Exec::default() };
    let report = session.script(LOOK, &[generate::ROUTES_DIR], how).await;
    session.close().await;
    observed::read(&report?).map_err(|e| {
        tracing::warn!(error = ?e, server = %server.id, "a look cannot be read");
        Failure::transient("look_unreadable", e.to_string())
    })
}
