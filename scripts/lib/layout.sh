# shellcheck shell=bash
# Names, addresses and ports of one environment. Everything derives from BYOP_STATE and BYOP_NET.
# shellcheck disable=SC2034  # read by the files that source this one

: "${HOME:?HOME is not set}"
BYOP_STATE=${BYOP_STATE:-$HOME/.cache/byop-engine/env}
BYOP_CACHE=${BYOP_CACHE:-$HOME/.cache/byop-engine/downloads}

# Clones share one folder of compiled code.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${BYOP_TARGET:-$HOME/.cache/byop-engine/target}}

# What an environment was made with stays with it until `down`, whatever is asked later.
NET_FILE=$BYOP_STATE/engine/net
BYOP_NET_ASKED=${BYOP_NET:-}
if [ -s "$NET_FILE" ]; then BYOP_NET=$(<"$NET_FILE"); fi

[[ $BYOP_STATE = /* && $BYOP_STATE != *[[:space:]]* ]] || {
  echo "env: BYOP_STATE must be an absolute path without blanks" >&2
  exit 1
}
# name_net NET: the network, and what is called after it.
name_net() {
  BYOP_NET=$1
  [[ $BYOP_NET =~ ^([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})$ ]] || {
    echo "env: BYOP_NET must be the first three numbers of an IPv4 network, like 172.31.77" >&2
    exit 1
  }
  # An interface name has at most 15 characters, so the network is spelled in hex.
  TAG=$(printf 'byop%02x%02x%02x' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" "${BASH_REMATCH[3]}")
  BRIDGE=$TAG
  # Without an address of its own a bridge takes its lowest port's and changes it as containers come and go, so that
  # neighbours may keep a stale one.
  BRIDGE_MAC=$(printf '02:42:%02x:%02x:%02x:01' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" "${BASH_REMATCH[3]}")
}
name_net "${BYOP_NET:-172.31.77}"
MTU=1400

TOOLS=$BYOP_CACHE/tools
OWN_SOCKET=$BYOP_STATE/engine/docker.sock
ENV_FILE=$BYOP_STATE/env
KEPT_FILE=$BYOP_STATE/kept
MIRROR_PORT=5001
REGISTRY_PORT=5443
API_PORT=8080
ACME_PORT=14000
ACME_ADMIN_PORT=15000
DNS_PORT=8053
DNS_ADMIN_PORT=8055
GIT_HTTP_PORT=9418
GIT_SSH_PORT=9422
# One run of the engine lives here and is deleted with it, so neither path is ever the caller's.
RUN=$BYOP_STATE/run
DATA_DIR=$RUN/data

# Settings of an engine that the caller runs elsewhere are none of ours: a database, a data folder, a registry.
forget_settings() {
  local name
  for name in "${!BYOP_@}"; do
    case $name in
      BYOP_STATE | BYOP_CACHE | BYOP_NET | BYOP_HUB | BYOP_TARGET | BYOP_LOCK_S | BYOP_RUN_LOCKED | BYOP_BIN_PROFILE | \
        BYOP_TEST_VM) ;;
      *) unset "$name" ;;
    esac
  done
}

export PATH=$TOOLS/usr/sbin:$TOOLS/usr/bin:$PATH:/usr/sbin:/sbin
export DOCKER_CONFIG_OWN=$BYOP_STATE/docker-config
