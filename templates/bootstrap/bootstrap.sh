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
has_systemd() { [ -d /run/systemd/system ]; }

# until_ok SECONDS COMMAND...: every wait has an end.
until_ok() {
  limit=$(($(date +%s) + $1)); shift
  until timeout 10 "$@" >/dev/null 2>&1; do
    [ "$(date +%s)" -lt "$limit" ] || return 1
    sleep 0.2
  done
}

apt() {
  for pause in 1 5 0; do
    apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=2 "$@" && return 0
    sleep $pause
  done
  return 1
}

# Health checks that are frequent at first need Docker 25.
sufficient() {
  command -v docker >/dev/null && docker compose version >/dev/null 2>&1 || return 1
  major=$(dockerd --version 2>/dev/null | sed -n 's/^Docker version \([0-9]*\)\..*/\1/p')
  [ "${major:-0}" -ge 25 ]
}

# A daemon.json that somebody else wrote stays: the machine may not be ours alone.
configure_docker() {
  config=/etc/docker/daemon.json
  if [ -e $config ] && ! cmp -s $config $HERE/daemon.json && ! cmp -s $config $HERE/daemon.json.ours; then
    say "keeping this machine's own $config"
    return 0
  fi
  cmp -s $config $HERE/daemon.json && [ -e $HERE/daemon.json.ours ] && return 0
  mkdir -p /etc/docker
  cp $HERE/daemon.json $HERE/daemon.json.ours
  cp $HERE/daemon.json $config.tmp && sync $config.tmp && mv $config.tmp $config
  if pidof dockerd >/dev/null; then touch $HERE/restart; fi
}

official_repository() {
  . /etc/os-release
  case $ID in debian | ubuntu) ;; *) return 1 ;; esac
  command -v curl >/dev/null || return 1
  url=https://download.docker.com/linux/$ID
  mkdir -p /etc/apt/keyrings
  curl -fsSL --max-time 20 "$url/gpg" -o /etc/apt/keyrings/docker.asc.tmp 2>/dev/null || return 1
  mv /etc/apt/keyrings/docker.asc.tmp /etc/apt/keyrings/docker.asc
  say "deb [arch=$(dpkg --print-architecture) signed-by=/etc/apt/keyrings/docker.asc] $url $VERSION_CODENAME stable" \
    >/etc/apt/sources.list.d/docker.list
}

install_official() {
  official_repository || return 1
  if apt update && apt install --no-install-recommends docker-ce docker-ce-cli containerd.io docker-compose-plugin; then
    return 0
  fi
  rm -f /etc/apt/sources.list.d/docker.list
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
    *) fail "Docker has to be installed first on $ID" ;;
  esac
  apt update || fail "the package lists cannot be fetched"
  # shellcheck disable=SC2086  # a list of packages
  apt install --no-install-recommends $packages iptables ca-certificates || fail "Docker cannot be installed"
}

install_docker() {
  sufficient && { say "Docker and Compose are here"; return 0; }
  command -v apt-get >/dev/null || fail "Docker has to be installed first on this system"
  say "installing Docker and Compose"
  install_official || install_from_distribution
  sufficient || fail "Docker or Compose is not usable after its installation"
}

# Some machines have another supervisor than systemd: it may take a moment to bring the daemon (back) up.
start_docker() {
  if [ -e $HERE/restart ]; then
    say "restarting Docker with its new settings"
    if has_systemd; then systemctl restart docker; else stop_daemon; fi
  elif has_systemd; then
    systemctl enable --now docker >/dev/null 2>&1 || :
  fi
  until_ok 8 docker info || own_daemon
  until_ok 60 docker info || fail "the Docker daemon does not start"
  rm -f $HERE/restart
}

stop_daemon() {
  pid=$(pidof dockerd | cut -d' ' -f1)
  [ -n "$pid" ] || return 0
  kill -TERM "$pid"
  for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || return 0; sleep 0.1; done
  kill -KILL "$pid" 2>/dev/null || :
}

own_daemon() {
  has_systemd && return 0
  pidof dockerd >/dev/null && return 0
  say "starting the Docker daemon"
  setsid dockerd >>/var/log/dockerd.log 2>&1 </dev/null &
}

ensure_network() {
  docker network inspect edge >/dev/null 2>&1 && return 0
  set -- --label byop.edge=1
  [ -z "${BYOP_MTU:-}" ] || set -- "$@" -o "com.docker.network.driver.mtu=$BYOP_MTU"
  docker network create "$@" edge >/dev/null || docker network inspect edge >/dev/null
}

start_edge() {
  say "starting Traefik"
  timeout 300 docker compose -p byop-edge -f /opt/byop/edge/compose.yaml up -d --quiet-pull --wait --wait-timeout 120 \
    --remove-orphans || {
    docker compose -p byop-edge -f /opt/byop/edge/compose.yaml logs --tail 30 || :
    fail "Traefik does not become healthy; are the ports 80 and 443 free?"
  }
}

plain() { tr -cd 'A-Za-z0-9 ._:+~/-' | head -c 100; }

facts() {
  . /etc/os-release
  printf '{"docker":"%s","compose":"%s","kernel":"%s","arch":"%s","os":"%s","memory_kb":%d,"disk_free_kb":%d,"edge":"%s"}\n' \
    "$(docker version --format '{{.Server.Version}}' | plain)" "$(docker compose version --short | plain)" \
    "$(uname -r | plain)" "$(uname -m | plain)" "$(printf %s "$PRETTY_NAME" | plain)" \
    "$(sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo)" \
    "$(df -Pk /var/lib/docker | awk 'NR==2 {print $4}')" \
    "$(docker ps --filter label=com.docker.compose.project=byop-edge --format '{{.State}}' | head -1 | plain)"
}

[ "$(id -u)" = 0 ] || fail "needs root"
configure_docker
install_docker
start_docker
ensure_network
start_edge
facts
