# shellcheck shell=bash
# The Docker engine: one that the user has, or one of our own on its own bridge.
#
# Our own runs in its own mount and pid namespace, so ending one process removes the
# daemon, its containers and its mounts. Its firewall rules and its bridge live in the
# shared network namespace; `engine_down` removes them by name.

# A user's engine: DOCKER_HOST that is not ours, or the usual socket if it answers.
user_engine() {
  local host=${DOCKER_HOST:-}
  [ "$host" != "unix://$OWN_SOCKET" ] || host=''
  if [ -z "$host" ] && answers /var/run/docker.sock; then host=unix:///var/run/docker.sock; fi
  printf '%s' "$host"
}

answers() {
  [ -S "$1" ] && [ "$(curl -s -m 2 --unix-socket "$1" http://engine/_ping)" = OK ]
}

# Said before anything is downloaded.
check_engine() {
  choose_engine
  [ -n "$OWN_ENGINE" ] || return 0
  need_root
  refuse_second_engine
  choose_net
  GATEWAY=$BYOP_NET.1
  check_ports
}

# Decides once which engine is meant; the choice is kept until `down`.
choose_engine() {
  local file=$BYOP_STATE/engine/host
  if [ -s "$file" ]; then
    ENGINE_HOST=$(<"$file")
  else
    ENGINE_HOST=$(user_engine)
    : "${ENGINE_HOST:=unix://$OWN_SOCKET}"
  fi
  OWN_ENGINE=''
  [ "$ENGINE_HOST" != "unix://$OWN_SOCKET" ] || OWN_ENGINE=yes
  export DOCKER_HOST=$ENGINE_HOST DOCKER_CONFIG=$DOCKER_CONFIG_OWN
}

# Two engines in one network namespace fight over the firewall's DOCKER chains.
refuse_second_engine() {
  local dir pid other mine
  mine=$(readlink /proc/self/ns/net)
  for dir in /proc/[0-9]*; do
    pid=${dir#/proc/}
    [ "$(readlink "$dir/ns/net" 2>/dev/null)" = "$mine" ] || continue
    [ "$(cat "$dir/comm" 2>/dev/null)" = dockerd ] || continue
    other=$({ tr '\0' '\n' <"$dir/environ"; } 2>/dev/null | sed -n 's/^BYOP_ENV_STATE=//p')
    [ "$other" != "$BYOP_STATE" ] || continue
    if [ -n "$other" ]; then
      die "another environment's engine runs here (pid $pid, BYOP_STATE=$other); take it down first: BYOP_STATE=$other scripts/lib/env.sh down"
    fi
    die "a Docker engine that is not ours runs here (pid $pid) but was not named; set DOCKER_HOST to use it"
  done
}

engine_config() {
  write_file "$BYOP_STATE/engine/daemon.json" <<J
{
  "data-root": "$BYOP_STATE/engine/data",
  "exec-root": "$BYOP_STATE/engine/exec",
  "pidfile": "$BYOP_STATE/engine/dockerd.pid",
  "hosts": ["unix://$OWN_SOCKET"],
  "bridge": "$BRIDGE",
  "mtu": $MTU,
  "cgroup-parent": "/$TAG",
  "exec-opts": ["native.cgroupdriver=cgroupfs"],
  "storage-driver": "overlay2",
  "shutdown-timeout": 2,
  "log-driver": "json-file",
  "log-opts": {"max-size": "10m", "max-file": "3"},
  "labels": ["byop.state=$BYOP_STATE"],
  "insecure-registries": ["$GATEWAY:$MIRROR_PORT"],
  "registry-mirrors": [$([ -n "$HUB" ] || printf '"http://%s:%s"' "$GATEWAY" "$MIRROR_PORT")]
}
J
}

# What `down` puts back: forwarding and the policy that dockerd changes.
remember_network() {
  local file=$BYOP_STATE/engine/network
  [ ! -s "$file" ] || return 0
  {
    printf 'FORWARDING=%s\n' "$(cat /proc/sys/net/ipv4/ip_forward)"
    printf 'FORWARD_POLICY=%s\n' "$(iptables -S FORWARD 2>/dev/null | awk '$1 == "-P" {print $3}')"
    printf 'HAD_DOCKER_CHAINS=%s\n' "$(iptables -S 2>/dev/null | grep -c '^-N DOCKER' || true)"
  } | write_file "$file"
}

make_bridge() {
  [ -d "/sys/class/net/$BRIDGE" ] || ip link add "$BRIDGE" address "$BRIDGE_MAC" type bridge
  grep -qF " $GATEWAY/" <<<"$(ip addr show dev "$BRIDGE")" || ip addr add "$GATEWAY/24" dev "$BRIDGE"
  ip link set "$BRIDGE" mtu "$MTU" up
}

own_engine_up() {
  GATEWAY=$BYOP_NET.1
  running dockerd && answers "$OWN_SOCKET" && return 0
  stop dockerd
  mkdir -p "$BYOP_STATE/engine/etc-docker" /etc/docker
  # Pid files in exec-root hold pids of the last namespace; a new daemon would trust them.
  rm -rf "$BYOP_STATE/engine/exec" "$BYOP_STATE/engine/dockerd.pid" "$OWN_SOCKET"
  remember_network
  echo "$BYOP_NET" | write_file "$NET_FILE"
  make_bridge
  engine_config
  # shellcheck disable=SC2016  # the inner shell expands its own arguments
  # /etc/docker is always read for registry certificates, so the daemon gets a private one.
  spawn dockerd unshare --mount --pid --fork --kill-child --mount-proc -- sh -c \
    'mount --bind "$1" /etc/docker && exec "$2" --config-file "$3"' sh \
    "$BYOP_STATE/engine/etc-docker" "$TOOLS/usr/sbin/dockerd" "$BYOP_STATE/engine/daemon.json"
  wait_until 60 answers "$OWN_SOCKET" || die "the engine did not start, see $(log_file dockerd)"
  echo "$ENGINE_HOST" | write_file "$BYOP_STATE/engine/host"
  step "engine up: $ENGINE_HOST on $BRIDGE ($GATEWAY/24)"
}

# Older engines lack the build contexts that the images are made with; Debian 12's own package is one.
ENGINE_AT_LEAST=23
user_engine_up() {
  local version
  version=$(docker version --format '{{.Server.Version}}') || die "the engine at $ENGINE_HOST does not answer"
  [[ ${version%%.*} =~ ^[0-9]+$ && ${version%%.*} -ge $ENGINE_AT_LEAST ]] ||
    die "the engine at $ENGINE_HOST is Docker $version; $ENGINE_AT_LEAST or newer is needed. Upgrade it, or stop it: then one of our own is used"
  GATEWAY=$(docker network inspect bridge -f '{{(index .IPAM.Config 0).Gateway}}' 2>/dev/null || true)
  [ -n "$GATEWAY" ] || die "the engine at $ENGINE_HOST has no bridge network with a gateway"
  # Not through a pipe: grep -q ends early, and the writer's end by SIGPIPE would count.
  grep -qF "inet $GATEWAY/" <<<"$(ip -4 addr)" ||
    die "the bridge $GATEWAY of the engine at $ENGINE_HOST is not on this machine; registry and ACME cannot be offered to its containers"
  check_ports
  echo "$ENGINE_HOST" | write_file "$BYOP_STATE/engine/host"
  step "using the engine at $ENGINE_HOST ($version), gateway $GATEWAY"
}

client_config() {
  local plugin
  mkdir -p "$DOCKER_CONFIG_OWN/cli-plugins"
  for plugin in "$TOOLS"/usr/libexec/docker/cli-plugins/*; do
    ln -sfn "$plugin" "$DOCKER_CONFIG_OWN/cli-plugins/"
  done
}

engine_up() {
  choose_engine
  client_config
  if [ -n "$OWN_ENGINE" ]; then own_engine_up; else user_engine_up; fi
}

remove_containers() {
  local ids
  mapfile -t ids < <(timeout 20 docker ps -aq 2>/dev/null)
  [ ${#ids[@]} = 0 ] || timeout 60 docker rm -fv "${ids[@]}" >/dev/null 2>&1 || true
  timeout 20 docker volume ls -q 2>/dev/null | xargs -r timeout 60 docker volume rm >/dev/null 2>&1 || true
}

# The daemon inside the namespace is asked first, so that its store is closed in order.
own_engine_stop() {
  local outer child=()
  if running dockerd; then
    outer=$(<"$(pid_file dockerd)")
    read -r -a child <"/proc/$outer/task/$outer/children" || true
    [ ${#child[@]} = 0 ] || kill -TERM "${child[@]}" 2>/dev/null || true
    wait_until 10 not_running dockerd 2>/dev/null || true
  fi
  stop dockerd 1
}
not_running() { ! running "$1"; }

# delete_rules TABLE PATTERN: deletes the rules that match, each by its own words.
delete_rules() {
  local words
  while read -r -a words; do
    iptables -t "$1" "${words[@]}" 2>/dev/null || true
  done < <(iptables -t "$1" -S 2>/dev/null | grep -E "$2" | sed 's/^-A/-D/' || true)
}

docker_chains() {
  iptables -t "$1" -S 2>/dev/null | awk '$1 == "-N" && $2 ~ /^DOCKER/ {print $2}'
}

# Chains are emptied first, because they refer to each other.
delete_docker_chains() {
  local chain
  delete_rules "$1" '^-A .* -j DOCKER'
  for chain in $(docker_chains "$1"); do iptables -t "$1" -F "$chain"; done
  for chain in $(docker_chains "$1"); do iptables -t "$1" -X "$chain" 2>/dev/null || true; done
}

# Removes what names our bridge or our network; the chains and policies only if we brought them.
remove_rules() {
  local table HAD_DOCKER_CHAINS=1 FORWARD_POLICY='' FORWARDING=''
  # shellcheck source=/dev/null
  [ ! -s "$BYOP_STATE/engine/network" ] || . "$BYOP_STATE/engine/network"
  for table in filter nat; do
    delete_rules $table "^-A .* ($BRIDGE( |\$)|${BYOP_NET//./\\.}\.)"
    [ "$HAD_DOCKER_CHAINS" != 0 ] || delete_docker_chains $table
  done
  if [ "$HAD_DOCKER_CHAINS" = 0 ]; then
    [ -z "$FORWARD_POLICY" ] || iptables -P FORWARD "$FORWARD_POLICY"
    [ -z "$FORWARDING" ] || echo "$FORWARDING" >/proc/sys/net/ipv4/ip_forward
  fi
  rm -f "$BYOP_STATE/engine/network"
}

remove_cgroups() {
  find /sys/fs/cgroup -depth -type d -path "*/$TAG*" -exec rmdir {} + 2>/dev/null || true
}

engine_down() {
  choose_engine
  # Another installation may use the same engine of a user's; there, a run removes its own by id (product_clean).
  if [ -x "$(command -v docker)" ]; then
    if [ -n "$OWN_ENGINE" ]; then remove_containers; else return_names; fi
  fi
  # Without the record nothing was made, and what has our names is another environment's.
  if [ -n "$OWN_ENGINE" ] && [ -s "$NET_FILE" ]; then
    own_engine_stop
    ! command -v iptables >/dev/null || remove_rules
    [ ! -d "/sys/class/net/$BRIDGE" ] || ip link del "$BRIDGE"
    remove_cgroups
    rmdir /etc/docker 2>/dev/null || true
    rm -rf "$BYOP_STATE/engine/exec" "$OWN_SOCKET"
  fi
  rm -f "$BYOP_STATE/engine/host"
}

forget_network() { rm -f "$NET_FILE"; }
