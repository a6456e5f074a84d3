#!/bin/sh
# Removes from a machine that is not ours what we put there: our compose projects with their volumes, the network
# `edge`, our files. Docker itself stays. Safe to run again. Argument: the registry whose certificate we placed.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
  docker compose ls -a -q | grep -E '^(d-[0-9a-f]+|byop-edge)$' | while read -r project; do
    timeout 120 docker compose -p "$project" down --volumes --remove-orphans --timeout 10
  done
  docker network rm edge >/dev/null 2>&1 || ! docker network inspect edge >/dev/null 2>&1
fi
[ -z "${1:-}" ] || rm -rf "/etc/docker/certs.d/$1"
rm -f /etc/apt/preferences.d/byop-docker /etc/apt/sources.list.d/byop-next.sources /etc/apt/sources.list.d/byop-next.list
rm -rf /opt/byop
