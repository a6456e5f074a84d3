#!/bin/bash
# First process of a build engine: firewall, disk, dockerd, then the word that all are there.
#
#   BYOP_DENY_CIDRS    networks that the build must not reach
#   BYOP_ALLOW_CIDRS   exceptions, looked at first
#   BYOP_ENGINE_ALLOW  host:port places that the engine itself reaches all the same (a mirror)
#   BYOP_DISK_BYTES    the size of the disk for images, cache and steps
#   BYOP_STEP_PIDS     how many processes all steps together may have
#   BYOP_TIME_S        the engine ends after this time, whatever runs in it
#
#   byop-builder allow HOST:PORT...   opens further places to the engine; for the push, when no
#                                     stranger's code runs any more
#
#   byop-builder unplace HOST         forgets in which repositories of a registry the layers are
#
#   byop-builder ages                 tells when the caches below /caches were used last
#
# Build steps are forwarded traffic, so their rules live in DOCKER-USER (and in INPUT for this
# container's own addresses). What the engine fetches itself, as `ADD` of a URL does, leaves by
# OUTPUT.
#
# The disk is a file system in a sparse file of the cache volume: a step that writes more than
# it has finds no space, at that byte and whatever else the machine has free.
set -euo pipefail
ready=/run/builder-ready
disk=/var/lib/byop-cache/disk.ext4

delegate_cgroups() {
  local root=/sys/fs/cgroup pid
  [ -f $root/cgroup.controllers ] || return 0
  mkdir -p $root/init
  for pid in $(<$root/cgroup.procs); do echo "$pid" >$root/init/cgroup.procs; done 2>/dev/null || true
  sed -e 's/ / +/g' -e 's/^/+/' $root/cgroup.controllers >$root/cgroup.subtree_control 2>/dev/null || true
}

# The steps' bound is below the container's: where they have none left, the daemon still has some.
limit_processes() {
  local group=/sys/fs/cgroup/docker
  [ -n "${BYOP_STEP_PIDS:-}" ] || return 0
  [ ! -d /sys/fs/cgroup/pids ] || group=/sys/fs/cgroup/pids/docker
  mkdir -p $group
  echo "$BYOP_STEP_PIDS" >$group/pids.max
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

# Refused and not dropped, so that a build with such a URL fails at once.
limit_engine() {
  local cidr
  rule -A OUTPUT -o lo -j ACCEPT
  permit OUTPUT ACCEPT
  for cidr in ${BYOP_DENY_CIDRS:-}; do
    rule -A OUTPUT -d "$cidr" -j REJECT --reject-with icmp-admin-prohibited
  done
  # A name that is not known yet is no reason to stop: public places need no rule.
  # shellcheck disable=SC2086  # a list of places
  allow ${BYOP_ENGINE_ALLOW:-} || true
}

# allow HOST:PORT...: fails if one of the hosts is not known, after opening the others.
allow() {
  local place address known missing=0
  for place in "$@"; do
    known=''
    for address in $(getent ahostsv4 "${place%:*}" | awk '{print $1}' | sort -u); do
      rule -I OUTPUT 1 -d "$address" -p tcp --dport "${place##*:}" -j ACCEPT
      known=1
    done
    [ -n "$known" ] || { echo "unknown host: ${place%:*}" >&2; missing=1; }
  done
  return $missing
}

# The rules above are about IPv4, so there is nothing else.
refuse_ipv6() {
  [ ! -d /proc/sys/net/ipv6/conf ] || sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
}

# Direct writes keep the disk's pages from being in memory twice; not every file system can.
mount_disk() {
  mount -o loop,noatime,discard,noinit_itable "$disk" /var/lib/docker || return
  losetup --direct-io=on "$(findmnt -n -o SOURCE /var/lib/docker)" 2>/dev/null || true
}

make_disk() {
  rm -f "$disk"
  truncate -s "$BYOP_DISK_BYTES" "$disk"
  mkfs.ext4 -q -F -m 0 -i 8192 -J size=32 -E lazy_itable_init=1,nodiscard "$disk"
}

# A disk with too little room for the daemon itself is no use, however much it remembers.
has_room() {
  local blocks free
  read -r blocks free < <(stat --file-system --format='%b %a' /var/lib/docker)
  ((free * 20 > blocks))
}

# Engines before this one kept images in another way, which nothing would ever clear away.
has_our_store() { [ ! -d /var/lib/docker/image/overlay2 ]; }

# What is on the disk is a cache: if its size is to change, or it cannot be used, a new one is
# made. An engine that was killed lets its disk go a moment later than its container.
disk_up() {
  local n
  [ -n "${BYOP_DISK_BYTES:-}" ] || return 0
  for n in {0..127}; do [ -e "/dev/loop$n" ] || mknod -m 600 "/dev/loop$n" b 7 "$n"; done
  for n in {1..100}; do
    [ -n "$(losetup -j "$disk" 2>/dev/null)" ] || break
    sleep 0.1
  done
  if [ "$(stat -c %s "$disk" 2>/dev/null)" = "$BYOP_DISK_BYTES" ] && mount_disk; then
    ! { has_room && has_our_store; } || return 0
    umount /var/lib/docker
  fi
  make_disk
  mount_disk
}

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

# Who made this engine may be gone for good, and then nobody else ends it.
end_in_time() {
  [ -n "${BYOP_TIME_S:-}" ] || return 0
  (sleep "$BYOP_TIME_S" && kill -KILL "$dockerd") 2>/dev/null &
}

# shellcheck disable=SC2317  # called by the trap
shut_down() {
  kill -TERM "$dockerd" 2>/dev/null || true
  wait "$dockerd" 2>/dev/null || true
  exit 0
}

# unplace HOST: a push would have the registry take over layers from the other repositories that it remembers, which
# this push's login may not read. containerd before 2.1 then fails or hangs instead of sending the layers.
unplace() {
  local label=containerd.io/distribution.source.$1 digest
  ctr content ls | awk -v label="$label=" 'index($0, label) {print $1}' | while read -r digest; do
    ctr content label "$digest" "$label=" >/dev/null
  done
}
ctr() { command ctr --address /run/docker/containerd/containerd.sock --namespace moby "$@"; }

# When the caches that are mounted below /caches were used last, in Unix seconds.
ages() {
  local cache
  for cache in /caches/*; do
    echo "$(stat -c %Y "$cache/disk.ext4" 2>/dev/null || echo 0) ${cache##*/}"
  done
}

case ${1:-} in
  allow)
    shift
    allow "$@"
    exit
    ;;
  unplace)
    unplace "$2"
    exit
    ;;
  ages)
    ages
    exit
    ;;
esac
rm -f $ready /run/docker.pid /var/run/docker.pid
delegate_cgroups
limit_processes
limit_steps
limit_engine
refuse_ipv6
disk_up
protect $$
mapfile -t options < <(plain_http_options)
dockerd "${options[@]}" >/var/log/dockerd.log 2>&1 &
dockerd=$!
end_in_time
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
