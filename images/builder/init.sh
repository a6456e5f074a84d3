#!/bin/bash
# First process of a build engine: firewall, then dockerd, then the word that both are there.
#
#   BYOP_DENY_CIDRS    networks that build steps must not reach
#   BYOP_ALLOW_CIDRS   exceptions, looked at first
#
# Build steps are forwarded traffic, so the rules live in DOCKER-USER (and in INPUT for this
# container's own addresses). The engine's own pulls and pushes are not forwarded.
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

# Filled before the daemon starts, so that no step ever runs without them: dockerd keeps an
# existing DOCKER-USER chain and only appends a return at its end.
install_rules() {
  local cidr server
  rule -N DOCKER-USER
  rule -A DOCKER-USER -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN
  while read -r server; do
    [[ $server = *:* ]] && continue
    rule -A DOCKER-USER -d "$server" -p udp --dport 53 -j RETURN
    rule -A DOCKER-USER -d "$server" -p tcp --dport 53 -j RETURN
  done < <(awk '$1 == "nameserver" {print $2}' /etc/resolv.conf)
  for cidr in ${BYOP_ALLOW_CIDRS:-}; do rule -A DOCKER-USER -d "$cidr" -j RETURN; done
  for cidr in ${BYOP_DENY_CIDRS:-}; do rule -A DOCKER-USER -d "$cidr" -j DROP; done
  rule -A INPUT -i lo -j ACCEPT
  rule -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
  rule -A INPUT -i docker0 -j DROP
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
install_rules
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
