#!/bin/bash
# First process of a build engine: firewall, then dockerd, then the word that both are there.
#
#   BYOP_DENY_CIDRS    networks that build steps must not reach
#   BYOP_ALLOW_CIDRS   exceptions, looked at first
#   BYOP_ENGINE_ALLOW  host:port places that the engine itself must reach (registry, mirror,
#                      token service); if it is set, the engine is held to the same networks
#
# Build steps are forwarded traffic, so their rules live in DOCKER-USER (and in INPUT for this
# container's own addresses). What the engine fetches itself, as `ADD` of a URL does, leaves by
# OUTPUT; it can only be limited when its own places are named.
set -euo pipefail
ready=/run/builder-ready

delegate_cgroups() {
  local root=/sys/fs/cgroup pid
  [ -f $root/cgroup.controllers ] || return 0
  mkdir -p $root/init
  for pid in $(<$root/cgroup.procs); do echo "$pid" >$root/init/cgroup.procs; done 2>/dev/null || true
  sed -e 's/ / +/g' -e 's/^/+/' $root/cgroup.controllers >$root/cgroup.subtree_control 2>/dev/null || true
}

rule() { iptables -w 10 "$@"; }

nameservers() { awk '$1 == "nameserver" && $2 !~ /:/ {print $2}' /etc/resolv.conf; }

# permit CHAIN VERDICT: replies, name resolution and the exceptions.
permit() {
  local place
  rule -A "$1" -m conntrack --ctstate ESTABLISHED,RELATED -j "$2"
  for place in $(nameservers); do
    rule -A "$1" -d "$place" -p udp --dport 53 -j "$2"
    rule -A "$1" -d "$place" -p tcp --dport 53 -j "$2"
  done
  for place in ${BYOP_ALLOW_CIDRS:-}; do rule -A "$1" -d "$place" -j "$2"; done
}

deny() {
  local cidr
  for cidr in ${BYOP_DENY_CIDRS:-}; do rule -A "$1" -d "$cidr" -j DROP; done
}

# Filled before the daemon starts, so that no step ever runs without them: dockerd keeps an
# existing DOCKER-USER chain and only appends a return at its end.
limit_steps() {
  rule -N DOCKER-USER
  permit DOCKER-USER RETURN
  deny DOCKER-USER
  rule -A INPUT -i lo -j ACCEPT
  rule -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
  rule -A INPUT -i docker0 -j DROP
}

limit_engine() {
  local place address
  [ -n "${BYOP_ENGINE_ALLOW:-}" ] || return 0
  rule -A OUTPUT -o lo -j ACCEPT
  permit OUTPUT ACCEPT
  for place in $BYOP_ENGINE_ALLOW; do
    for address in $(getent ahostsv4 "${place%:*}" | awk '{print $1}' | sort -u); do
      rule -A OUTPUT -d "$address" -p tcp --dport "${place##*:}" -j ACCEPT
    done
  done
  deny OUTPUT
}

# Steps get no IPv6 address from Docker's default bridge; forwarding it is refused as well.
refuse_ipv6() { ip6tables -w 10 -P FORWARD DROP 2>/dev/null || true; }

# protect PID...: the memory killer takes these last. Where the machine does not allow it
# (it needs CAP_SYS_RESOURCE), the raised score of the build steps alone decides; see runc.sh.
protect() {
  local pid
  for pid in "$@"; do choom -n -900 -p "$pid" >/dev/null 2>&1 || true; done
}

# BuildKit speaks plain HTTP only to registries that are named as insecure, unlike
# `docker pull`, so the mirrors that are given as http:// are named here.
plain_http_options() {
  local config=/etc/docker/daemon.json
  [ -s $config ] || return 0
  ! grep -q '"insecure-registries"' $config || return 0
  grep -o '"http://[^"/]*' $config | sed 's,^"http://,--insecure-registry=,' || true
}

# shellcheck disable=SC2317  # called by the trap
shut_down() {
  kill -TERM "$dockerd" 2>/dev/null || true
  wait "$dockerd" 2>/dev/null || true
  exit 0
}

rm -f $ready /run/docker.pid /var/run/docker.pid
delegate_cgroups
limit_steps
limit_engine
refuse_ipv6
protect $$
mapfile -t options < <(plain_http_options)
dockerd "${options[@]}" >/var/log/dockerd.log 2>&1 &
dockerd=$!
trap shut_down TERM INT
for _ in $(seq 300); do
  if docker version >/dev/null 2>&1; then
    # dockerd resets its own score when it starts, so it is set once more.
    # shellcheck disable=SC2046  # a list of pids
    protect $dockerd $(pgrep -x containerd)
    : >$ready
    break
  fi
  kill -0 $dockerd 2>/dev/null || break
  sleep 0.1
done
# The container ends with its daemon: whoever waits for it then sees it.
if [ ! -e $ready ]; then
  tail -20 /var/log/dockerd.log >&2
  exit 70
fi
wait $dockerd || true
exit 71
