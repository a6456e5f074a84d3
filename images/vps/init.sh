#!/bin/bash
# First process of a stand-in server: keeps sshd and, once it is installed, dockerd running.
# There is no systemd here. Keys that were put into the container before its start are kept.
set -uo pipefail

# On the unified hierarchy a group with processes cannot delegate controllers to children,
# so everything that runs already moves into a child group first.
delegate_cgroups() {
  local root=/sys/fs/cgroup pid
  [ -f $root/cgroup.controllers ] || return 0
  mkdir -p $root/init
  for pid in $(<$root/cgroup.procs); do echo "$pid" >$root/init/cgroup.procs; done 2>/dev/null
  sed -e 's/ / +/g' -e 's/^/+/' $root/cgroup.controllers >$root/cgroup.subtree_control 2>/dev/null
  return 0
}

# /run may be a fresh tmpfs, or may hold pid files of the run before a restart.
prepare() {
  mkdir -p /run/sshd /root/.ssh /etc/docker
  chmod 755 /run/sshd
  chmod 700 /root/.ssh
  chown -R root:root /root/.ssh
  [ ! -e /root/.ssh/authorized_keys ] || chmod 600 /root/.ssh/authorized_keys
  if [ -s /etc/ssh/ssh_host_ed25519_key ]; then
    chown root:root /etc/ssh/ssh_host_ed25519_key
    chmod 600 /etc/ssh/ssh_host_ed25519_key
  else
    ssh-keygen -A >/dev/null
  fi
}

start_sshd() {
  /usr/sbin/sshd -D -e >>/var/log/sshd.log 2>&1 &
  sshd=$!
}

start_dockerd() {
  rm -f /run/docker.pid /var/run/docker.pid /run/docker/containerd/*.pid
  /usr/sbin/dockerd >>/var/log/dockerd.log 2>&1 &
  dockerd=$!
}

alive() { [ -n "$1" ] && kill -0 "$1" 2>/dev/null; }

# Installed when an app has schedules.
start_cron() { [ ! -x /usr/sbin/cron ] || pgrep -x cron >/dev/null || /usr/sbin/cron; }

# Someone else may have started a daemon, for example a package script or an operator.
docker_wanted() {
  [ -x /usr/sbin/dockerd ] && [ -z "${VPS_NO_DOCKER:-}" ] && ! pgrep -x dockerd >/dev/null
}

shut_down() {
  trap '' TERM INT
  # shellcheck disable=SC2046  # a list of pids
  kill -TERM $sshd $dockerd 2>/dev/null
  for _ in $(seq 80); do
    alive "$dockerd" || break
    sleep 0.1
  done
  exit 0
}

sshd='' dockerd=''
trap shut_down TERM INT
delegate_cgroups
prepare
while :; do
  alive "$sshd" || start_sshd
  ! docker_wanted || start_dockerd
  start_cron
  # A background sleep lets signals interrupt the wait; `wait` also collects orphans.
  sleep 1 &
  wait $!
done
