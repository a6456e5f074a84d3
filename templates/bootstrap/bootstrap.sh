#!/bin/sh
# Makes a fresh machine a server of ours: Docker, Compose, the network `edge` and Traefik. Safe to run again at any
# time and after any interruption: every part looks first and does only what is missing. Settings come as environment
# variables, files are in place before; the last line printed is a JSON object with what was found.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
HERE=/opt/byop/bootstrap
export DEBIAN_FRONTEND=noninteractive

say() { printf '%s\n' "$*"; }
fail() { printf 'bootstrap: %s\n' "$*" >&2; exit 1; }
# What another try cannot change: somebody has to do something to the machine.
refuse() { printf 'bootstrap: %s\n' "$*" >&2; exit 78; }
has_systemd() { [ -d /run/systemd/system ]; }

# until_ok SECONDS COMMAND...: every wait has an end.
until_ok() {
  limit=$(($(date +%s) + $1)); shift
  until timeout 10 "$@" >/dev/null 2>&1; do
    [ "$(date +%s)" -lt "$limit" ] || return 1
    sleep 0.05
  done
}

# What changes packages is in a session of its own, so that the end of this script cuts no installation in two; the
# lock tells whoever comes next that it goes on.
alone() { setsid -w flock $HERE/apt.lock "$@"; }

apt() {
  for pause in 1 5 0; do
    alone apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=2 "$@" && return 0
    sleep $pause
  done
  return 1
}

# An installation that a power cut or somebody else left half done: apt refuses to work before it is finished.
repair_packages() {
  [ ! -e $HERE/apt.lock ] || flock $HERE/apt.lock true
  [ -n "$(ls /var/lib/dpkg/updates 2>/dev/null)" ] || [ -n "$(dpkg --audit 2>&1)" ] || return 0
  say "finishing an installation that was cut off"
  for pause in 1 5 20 0; do
    alone dpkg --force-confdef --force-confold --configure -a && break
    sleep $pause
  done
  apt --fix-broken install || fail "an installation that was cut off cannot be finished: dpkg --configure -a"
}

# Health checks that are frequent at first need Docker 25.
sufficient() {
  command -v docker >/dev/null && compose=$(docker compose version --short 2>/dev/null) || return 1
  major=$(dockerd --version 2>/dev/null | sed -n 's/^Docker version \([0-9]*\)\..*/\1/p')
  [ "${major:-0}" -ge 25 ]
}

# Containers that are not ours, running or not; of a daemon that does not answer, those that its disk tells of.
foreign() {
  if names=$(timeout 20 docker ps -a --format '{{.Label "byop.edge"}}{{.Label "byop.app"}}{{.Label "byop.managed"}} {{.Names}}' 2>/dev/null); then
    say "$names" | sed -n 's/^ //p'
  else
    grep -sLE '"byop\.(app|edge|managed)":' /var/lib/docker/containers/*/config.v2.json || :
  fi
}

ours() { grep -qsxF "$(sha256sum <"$1")" $HERE/daemon.sums; }
in_swarm() { [ "$(timeout 20 docker info --format '{{.Swarm.LocalNodeState}}' 2>/dev/null)" = active ]; }

# A daemon.json that somebody else wrote stays: the machine may not be ours alone. The sums of what we wrote tell them
# apart; a sum and the wish to restart are kept before the file, so that a cut in between loses neither.
configure_docker() {
  config=/etc/docker/daemon.json wanted=$HERE/daemon.json
  [ -z "$others" ] || wanted=$HERE/daemon-shared.json
  if [ -e $config ] && ! ours $config; then
    say "keeping this machine's own $config"
    return 0
  fi
  ! cmp -s $config $wanted || return 0
  if in_swarm; then
    say "leaving the Docker of a swarm as it is: containers that outlive the daemon are not possible there"
    return 0
  fi
  sha256sum <$wanted >>$HERE/daemon.sums
  if command -v dockerd >/dev/null; then touch $HERE/restart; fi
  sync $HERE
  mkdir -p /etc/docker
  cp $wanted $config.tmp && sync $config.tmp && mv $config.tmp $config
}

# Docker's own packages, unless somebody set that up here before. Files with our name are removed with us.
official_repository() {
  . /etc/os-release
  case $ID in debian | ubuntu) ;; *) return 1 ;; esac
  ! grep -rqsF download.docker.com /etc/apt/sources.list /etc/apt/sources.list.d || return 0
  command -v curl >/dev/null || return 1
  url=https://download.docker.com/linux/$ID
  key=/etc/apt/keyrings/byop-docker.asc
  mkdir -p /etc/apt/keyrings
  curl -fsSL --max-time 20 "$url/gpg" -o $key.tmp 2>/dev/null || { rm -f $key.tmp; return 1; }
  mv $key.tmp $key
  say "deb [arch=$(dpkg --print-architecture) signed-by=$key] $url $VERSION_CODENAME stable" \
    >/etc/apt/sources.list.d/byop-docker.list
}

install_official() {
  official_repository || return 1
  if apt update && apt install --no-install-recommends docker-ce docker-ce-cli containerd.io docker-compose-plugin; then
    return 0
  fi
  rm -f /etc/apt/sources.list.d/byop-docker.list
  return 1
}

# Debian 12's own Compose is too old; its next release's packages run on it, and nothing else may come from there.
pin_next_release() {
  for list in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
    [ -s $list ] || continue
    case $list in *.sources) next=byop-next.sources ;; *) next=byop-next.list ;; esac
    sed 's/bookworm/trixie/g' $list >/etc/apt/sources.list.d/$next
  done
  cat >/etc/apt/preferences.d/byop-docker <<'PIN'
Package: *
Pin: release n=trixie*
Pin-Priority: 100

Package: docker.io docker-cli docker-compose containerd
Pin: release n=trixie*
Pin-Priority: 990
PIN
}

install_from_distribution() {
  . /etc/os-release
  case $ID:${VERSION_CODENAME:-} in
    debian:bookworm) pin_next_release; packages="docker.io docker-cli docker-compose containerd" ;;
    debian:*) packages="docker.io docker-cli docker-compose" ;;
    ubuntu:*) packages="docker.io docker-compose-v2" ;;
    *) refuse "Docker 25 or newer and its Compose plugin have to be installed first on $ID" ;;
  esac
  apt update || fail "the package lists cannot be fetched"
  # shellcheck disable=SC2086  # a list of packages
  apt install --no-install-recommends $packages iptables ca-certificates || fail "Docker cannot be installed"
}

# Installing may replace packages and restart Docker, so it is out of the question beside containers that are not ours.
install_docker() {
  [ -n "$others" ] || ! command -v apt-get >/dev/null || repair_packages
  sufficient && { say "Docker and Compose are here"; return 0; }
  [ -z "$others" ] || refuse "this machine runs containers that are not ours, so its Docker is not touched, and it" \
    "is not enough: install Docker 25 or newer with its Compose plugin, or remove the containers, and try again"
  command -v apt-get >/dev/null || refuse "Docker 25 or newer and its Compose plugin have to be installed first here"
  say "installing Docker and Compose"
  install_official || install_from_distribution
  sufficient || fail "Docker or Compose is not usable after its installation"
}

# The machine's own daemon: a container or a user may run another one.
daemon_pid() {
  for pid in $(pidof dockerd || :); do
    [ "$(readlink "/proc/$pid/ns/pid")" = "$(readlink /proc/self/ns/pid)" ] || continue
    [ "$(stat -c %u "/proc/$pid")" != 0 ] || { echo "$pid"; return 0; }
  done
}

# Some machines have another supervisor than systemd: it may take a moment to bring the daemon (back) up.
start_docker() {
  if [ -e $HERE/restart ] && [ -n "$(daemon_pid)" ]; then
    apply_settings
  elif has_systemd; then
    systemctl enable --now docker >/dev/null 2>&1 || :
  fi
  until_ok 8 docker version || own_daemon
  until_ok 60 docker version || fail "the Docker daemon does not start"
  rm -f $HERE/restart
}

# A restart could stop containers that are not ours; what is needed beside them takes a reload only. Asked once more: a
# restart is not taken back.
apply_settings() {
  if [ -z "$(foreign)" ]; then
    say "restarting Docker with its new settings"
    if has_systemd; then systemctl restart docker; else stop_daemon; fi
    return 0
  fi
  until_ok 60 docker version || fail "the Docker daemon does not answer"
  say "reloading Docker's settings; the containers that are not ours run on"
  kill -HUP "$(daemon_pid)"
  until_ok 10 sh -c '[ "$(docker info --format "{{.LiveRestoreEnabled}}")" = true ]' ||
    say "Docker does not take its new settings on before its next start"
}

stop_daemon() {
  pid=$(daemon_pid)
  [ -n "$pid" ] || return 0
  kill -TERM "$pid"
  for _ in $(seq 200); do kill -0 "$pid" 2>/dev/null || return 0; sleep 0.05; done
  kill -KILL "$pid" 2>/dev/null || :
}

own_daemon() {
  has_systemd && return 0
  [ -z "$(daemon_pid)" ] || return 0
  say "starting the Docker daemon"
  setsid dockerd >>/var/log/dockerd.log 2>&1 </dev/null &
}

# A network of this name that was here before us is used, if it is one that containers can be reached through.
ensure_network() {
  if kind=$(docker network inspect --format '{{.Driver}} {{.Internal}}' edge 2>/dev/null); then
    [ "$kind" = "bridge false" ] || refuse "the network edge of this machine is no bridge to the outside; rename it"
    return 0
  fi
  set -- --label byop.edge=1
  [ -z "${BYOP_MTU:-}" ] || set -- "$@" -o "com.docker.network.driver.mtu=$BYOP_MTU"
  docker network create "$@" edge >/dev/null || docker network inspect edge >/dev/null
}

start_edge() {
  say "starting Traefik"
  mkdir -p /opt/byop/edge/routes
  for image in $(docker compose -p byop-edge -f /opt/byop/edge/compose.yaml config --images); do
    # One that was here before us stays when we go.
    docker image inspect "$image" >/dev/null 2>&1 || say "$image" >>$HERE/images
  done
  timeout 300 docker compose -p byop-edge -f /opt/byop/edge/compose.yaml up -d --quiet-pull --wait --wait-timeout 120 \
    --remove-orphans || {
    docker compose -p byop-edge -f /opt/byop/edge/compose.yaml logs --tail 30 || :
    fail "Traefik does not become healthy; are the ports 80 and 443 free?"
  }
}

enough_room() {
  found=$(docker info --format '{{.ServerVersion}} {{.DockerRootDir}}')
  server=${found%% *} root=${found#* }
  free=$(df -Pk "$root" | awk 'NR == 2 {print $4}')
  [ "$free" -ge 1048576 ] || refuse "less than 1 GiB is free for Docker in $root; make room and try again"
}

# answers PORT: whether an HTTP server says anything at all there, also in plain text to a port that wants TLS.
answers() {
  if command -v bash >/dev/null; then
    # shellcheck disable=SC2016  # the inner shell's own
    until_ok 20 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0" && printf "GET / HTTP/1.0\r\n\r\n" >&3 && read -r -n 1 <&3' "$1"
  else
    until_ok 20 curl -s -o /dev/null "http://127.0.0.1:$1/"
  fi
}

edge_state() { docker ps --filter label=byop.edge --filter label=com.docker.compose.project=byop-edge --format '{{.State}}'; }

# The self check: nothing is called ready that does not work.
check() {
  [ "$(edge_state)" = running ] || fail "Traefik does not run"
  for port in 80 443; do
    answers $port || fail "port $port of this machine does not answer, though Traefik runs"
  done
}

# As a list in JSON; addresses of private networks (fc00::/7) are left out.
ipv6_addresses() {
  command -v ip >/dev/null || return 0
  ip -6 -o addr show scope global | awk '$4 !~ /^f[cd]/ { sub("/.*", "", $4); printf "%s\"%s\"", comma, $4; comma = "," }'
}

plain() { tr -cd 'A-Za-z0-9 ._:+~/-' | head -c 100; }

facts() {
  . /etc/os-release
  printf '{"docker":"%s","compose":"%s","kernel":"%s","arch":"%s","os":"%s","memory_kb":%d,"disk_free_kb":%d,"edge":"%s","ipv6":[%s]}\n' \
    "$(printf %s "$server" | plain)" "$(printf %s "$compose" | plain)" \
    "$(uname -r | plain)" "$(uname -m | plain)" "$(printf %s "$PRETTY_NAME" | plain)" \
    "$(sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo)" \
    "$free" "$(edge_state | plain)" "$(ipv6_addresses)"
}

[ "$(id -u)" = 0 ] || refuse "needs root"
others=$(foreign)
configure_docker
install_docker
start_docker
enough_room
ensure_network
start_edge
check
facts
