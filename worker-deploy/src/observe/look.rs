//! One look at a server: a script that only reads, over one connection.
//!
//! Invariants: nothing on the server is changed, locked or waited for; the answer is bounded, says what was left out of it,
//! and ends with a line that says that it is whole. Absent: what the answer means ([`shared::domain::observed`]).

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
/// answer. Of more than 500 containers, or 600 kB of them, the engine's own come first and the rest is counted only; of a
/// container's ports 100 are listed, of files of routes 1000. All of it stays below what is read of a command.
const LOOK: &str = r#"set -u
routes=$1
number() { case $1 in ''|*[!0-9]*) echo null ;; *) echo "$1" ;; esac; }
field() { sed -n "s/^$1 //p" "$2" 2>/dev/null; }
asked() { timeout 20 "$@" 2>/dev/null; [ $? -ne 124 ] || exit 70; }
lines() { printf '%s\n' "$1" | grep -c .; }
within() { awk -v one="$1" -v all="$2" 'length($0) <= one && (n += length($0) + 1) <= all'; }
every=$(timeout 20 docker ps -a --no-trunc --format \
  '{{.ID}}{{if or (.Label "byop.app") (.Label "byop.managed") (.Label "byop.edge")}} own{{end}}') || exit 70
own=$(printf '%s\n' "$every" | sed -n 's/ own$//p')
others=$(printf '%s\n' "$every" | sed '/ own$/d')
ids=$(printf '%s\n%s\n' "$own" "$others" | grep . | head -n 500)
if [ -n "$ids" ]; then
  seen=$(asked docker inspect --type container --format '{"t":"container","id":{{json .ID}},"name":{{json .Name}},'\
'"app":{{json (index .Config.Labels "byop.app")}},"deployment":{{json (index .Config.Labels "byop.deployment")}},'\
'"managed":{{json (index .Config.Labels "byop.managed")}},"service":{{json (index .Config.Labels "byop.service")}},'\
'"edge":{{json (index .Config.Labels "byop.edge")}},"component":{{json (index .Config.Labels "byop.component")}},'\
'"once":{{json (index .Config.Labels "com.docker.compose.oneoff")}},"image":{{json .Config.Image}},"image_id":{{json .Image}},'\
'"state":{{json .State.Status}},"health":{{with .State.Health}}{{json .Status}}{{else}}null{{end}},'\
'"restarts":{{json .RestartCount}},"exit":{{json .State.ExitCode}},"oom":{{json .State.OOMKilled}},'\
'"started":{{json .State.StartedAt}},"memory":{{json .HostConfig.Memory}},"nano_cpus":{{json .HostConfig.NanoCPUs}},'\
'"ports":[{{$n := ""}}{{range $in, $outs := .NetworkSettings.Ports}}{{range $outs}}{{if lt (len $n) 100}}'\
'{{if $n}},{{end}}{"in":{{json $in}},"out":{{json .}}}{{$n = printf "%s." $n}}{{end}}{{end}}{{end}}]}' $ids) || exit 70
  [ -n "$seen" ] || exit 70
  seen=$(printf '%s\n' "$seen" | within 16000 600000)
  printf '%s\n' "$seen"
  kept=$(lines "$seen")
  own_out=$(($(lines "$own") - kept))
  [ "$own_out" -gt 0 ] || own_out=0
  printf '{"t":"left_out","containers":%d,"own":%d}\n' $(($(lines "$every") - kept)) "$own_out"
  images=$(asked docker inspect --type container --format '{{.Image}}' $ids) || exit 70
  images=$(printf '%s\n' "$images" | sort -u)
  if [ -n "$images" ]; then
    digests=$(asked docker inspect --type image --format '{"t":"image","id":{{json .ID}},"digests":{{json .RepoDigests}}}' $images)
    [ $? -ne 70 ] || exit 70
    printf '%s\n' "$digests" | within 4000 150000
  fi
  pids=$(asked docker inspect --type container --format '{{.ID}} {{.State.Pid}}' $ids) || exit 70
  printf '%s\n' "$pids" | while read -r id pid; do
    [ "${pid:-0}" -gt 0 ] || continue
    group=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$pid/cgroup" 2>/dev/null)
    memory=$(cat "$group/memory.current" 2>/dev/null)
    printf '{"t":"usage","id":"%s","memory":%s,"cached":%s,"cpu_usec":%s}\n' "$id" "$(number "$memory")" \
      "$(number "$(field inactive_file "$group/memory.stat")")" "$(number "$(field usage_usec "$group/cpu.stat")")"
  done
fi
files=0
for file in "$routes"/*.yaml; do
  name=${file##*/} name=${name%.yaml}
  case $name in *[!0-9a-f]*) continue ;; esac
  files=$((files + 1))
  [ "$files" -le 1000 ] || break
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
