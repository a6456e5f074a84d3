# shellcheck shell=bash
# Before anything is started: is the network free, and are the ports? Sourced after layout.sh and steps.sh.

# net_user NET: what this machine reaches by other ways in NET.0/24; nothing if the network is free. A route that is wider
# counts too: taking a part of it would cut the machine off from some of its neighbours.
net_user() {
  { ip -4 route show root "$1.0/24"; ip -4 route show match "$1.0/24"; } |
    grep -vE "^default|^(0|128)\.0\.0\.0/1 | dev $BRIDGE( |\$)" | head -n 1 || true
}

# The first free network, unless the caller has named one.
choose_net() {
  local net user
  [ ! -s "$NET_FILE" ] || return 0
  for net in ${BYOP_NET_ASKED:-172.31.77 172.29.77 10.77.77 192.168.177}; do
    name_net "$net"
    user=$(net_user "$net")
    [ -n "$user" ] || return 0
    note "the network $net.0/24 is in use here: $user"
  done
  die "no free network for the engine; name one with BYOP_NET, like BYOP_NET=10.99.99"
}

# Lines of "PORT SERVICE WHAT": what an environment and a run in it take.
our_ports() {
  cat <<P
$API_PORT api the API
$REGISTRY_PORT registry the product's registry
$MIRROR_PORT mirror the pull mirror
$ACME_PORT pebble the ACME authority
$ACME_ADMIN_PORT pebble the ACME authority
$DNS_PORT dns DNS
$DNS_ADMIN_PORT dns DNS
$GIT_HTTP_PORT git-http Git over HTTP
$GIT_SSH_PORT git-ssh Git over SSH
P
}

# check_ports: names the stranger who listens on an address where one of ours is to listen.
check_ports() {
  local listening port service what line pid
  listening=$(ss -Hlntup)
  while read -r port service what; do
    ! running "$service" || continue
    while read -r line; do
      [ -n "$line" ] || continue
      pid=$(sed -n 's/.*pid=\([0-9]*\).*/\1/p' <<<"$line")
      [ -n "$pid" ] && is_ours "$pid" && continue
      die "port $port is needed for $what, but something listens there already: $(awk '{print $5, $7}' <<<"$line")"
    done < <(awk -v port="$port" -v gateway="$GATEWAY" '
      $5 == "*:" port || $5 == "0.0.0.0:" port || $5 == "[::]:" port || $5 == gateway ":" port' <<<"$listening")
  done < <(our_ports)
}

# serves SECONDS NAME COMMAND...: waits until the service that we have started answers; another's answer does not count.
serves() {
  local seconds=$1 name=$2
  shift 2
  wait_until "$seconds" answers_or_ended "$name" "$@" && running "$name"
}
# shellcheck disable=SC2317  # called through wait_until
answers_or_ended() {
  local name=$1
  shift
  # It may not carry our mark yet, so soon after its start.
  ! kill -0 "$(<"$(pid_file "$name")")" || "$@"
}
