#!/bin/sh
# Removes from a machine that is not ours what we put there: our compose projects with their volumes, the images that
# they brought, our network `edge`, Docker's settings, our files. Docker itself stays, and so does everything that is
# not ours, whatever its name. Safe to run again. Argument: the registry whose images and certificate we placed.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
HERE=/opt/byop/bootstrap
registry=${1:-}

say() { printf '%s\n' "$*"; }
fail() { printf 'detach: %s\n' "$*" >&2; exit 1; }

# An installation that was under way when the bootstrap ended goes on by itself; one that was cut off is finished.
finish_installation() {
  [ -e $HERE/apt.lock ] || return 0
  flock -w 600 $HERE/apt.lock true || fail "apt is still at work"
  [ -n "$(ls /var/lib/dpkg/updates 2>/dev/null)" ] || [ -n "$(dpkg --audit 2>&1)" ] || return 0
  DEBIAN_FRONTEND=noninteractive dpkg --force-confdef --force-confold --configure -a ||
    say "an installation that was cut off cannot be finished: dpkg --configure -a"
}

# Whether there is a Docker to clean. One that does not answer and holds nothing of ours is left alone.
docker_answers() {
  command -v docker >/dev/null || return 1
  for _ in $(seq 60); do
    ! timeout 10 docker info >/dev/null 2>&1 || return 0
    grep -sqE '"byop\.(app|edge|managed)":' /var/lib/docker/containers/*/config.v2.json || return 1
    sleep 1
  done
  fail "Docker does not answer, so our containers cannot be removed; start it and try again"
}

# A project is ours by its name and by the label on its containers: a client may have a project d-cafe.
take_down_projects() {
  releases=$(docker ps -a --filter label=byop.app --format '{{.Label "com.docker.compose.project"}}')
  managed=$(docker ps -a --filter label=byop.managed --format '{{.Label "com.docker.compose.project"}}')
  edge=$(docker ps -a --filter label=byop.edge --format '{{.Label "com.docker.compose.project"}}')
  # The edge may have lost its containers in a run that was cut off, but not its volume.
  edge="$edge
$(docker volume ls --filter label=com.docker.compose.volume=acme --format '{{.Label "com.docker.compose.project"}}')"
  printf '%s\n' "$releases" "$managed" "$edge" | grep -xE '[ds]-[0-9a-f]{32}|byop-edge' | sort -u | while read -r project; do
    timeout 120 docker compose -p "$project" down --volumes --remove-orphans --timeout 10
    docker volume ls -q --filter "label=com.docker.compose.project=$project" | xargs -r docker volume rm >/dev/null
  done
}

remove_networks_and_volumes() {
  for network in $(docker network ls -q --filter label=byop.edge --filter 'name=^edge$') \
    $(docker network ls -q --filter label=byop.app); do
    docker network rm "$network" >/dev/null
  done
  docker volume ls -q --filter label=byop.app | xargs -r docker volume rm >/dev/null
}

# What releases pulled is the code of apps; the edge's image goes when it came with us. An image that something else
# uses stays.
remove_images() {
  {
    [ -z "$registry" ] || docker image ls --digests --no-trunc --format '{{.Repository}} {{.Tag}} {{.Digest}}' |
      awk -v ours="$registry/" 'index($1, ours) == 1 { print ($3 == "<none>") ? $1 ":" $2 : $1 "@" $3 }'
    cat $HERE/images 2>/dev/null || :
  } | sort -u | while read -r image; do
    docker image rm "$image" >/dev/null 2>&1 || ! docker image inspect "$image" >/dev/null 2>&1 || say "keeping $image"
  done
}

# The machine's own daemon: a container or a user may run another one.
daemon_pid() {
  for pid in $(pidof dockerd || :); do
    [ "$(readlink "/proc/$pid/ns/pid")" = "$(readlink /proc/self/ns/pid)" ] || continue
    [ "$(stat -c %u "/proc/$pid")" != 0 ] || { echo "$pid"; return 0; }
  done
}

# Only a file that is still what we wrote. A reload stops no container, but a daemon that is still starting may die of it.
remove_settings() {
  config=/etc/docker/daemon.json
  [ -e $config ] && grep -qsxF "$(sha256sum <$config)" $HERE/daemon.sums || return 0
  rm $config
  pid=$(daemon_pid)
  [ -z "$pid" ] || ! timeout 10 docker info >/dev/null 2>&1 || kill -HUP "$pid"
}

finish_installation
if docker_answers; then
  take_down_projects
  remove_networks_and_volumes
  remove_images
fi
remove_settings
[ -z "$registry" ] || rm -rf "/etc/docker/certs.d/$registry"
rmdir /etc/docker/certs.d 2>/dev/null || :
rm -f /etc/apt/preferences.d/byop-docker /etc/apt/sources.list.d/byop-*.list /etc/apt/sources.list.d/byop-*.sources \
  /etc/apt/keyrings/byop-*
rm -f /etc/cron.d/byop-*
rm -rf /opt/byop
