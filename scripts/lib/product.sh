# shellcheck shell=bash
# The engine's own processes on this machine, and a client of its public API. Sourced after steps.sh, with the
# environment's settings loaded.
#
# One run lives in $RUN (see layout.sh): settings with fresh secrets (0600), the database, logs, pid files. Nothing of it is kept.

PROCESSES=(api worker-build worker-provision worker-deploy)
BIN=${BIN:-$CARGO_TARGET_DIR/debug}

product_log() { printf '%s/log/%s.log' "$RUN" "$1"; }
product_pid() { cat "$RUN/pid/$1" 2>/dev/null; }

# One run at a time uses an environment's ports; a second one waits its turn. The scenarios of a run that holds the
# lock are part of it. Only who holds it may clean up, and only who took it may take the environment down.
RUN_LOCK=''
product_lock() {
  product_locked && return 0
  mkdir -p "$(dirname "$BYOP_STATE")"
  exec 8>"$BYOP_STATE.run.lock"
  if ! flock -n 8; then
    step "waiting for another run in this environment to end"
    flock -w "${BYOP_LOCK_S:-900}" 8 || die "another run uses this environment: $BYOP_STATE"
  fi
  RUN_LOCK=ours
  export BYOP_RUN_LOCKED=$BYOP_STATE
}
product_locked() { [ "${BYOP_RUN_LOCKED:-}" = "$BYOP_STATE" ]; }

run_end() {
  product_locked || return 0
  product_clean
  "$LIB/git-server.sh" stop >/dev/null 2>&1
  "$LIB/env.sh" registry stop >/dev/null 2>&1
  return 0
}
# An environment that nobody asked to keep goes with the run, also one that a killed run has left.
run_down() { [ -z "$RUN_LOCK" ] || [ -e "$KEPT_FILE" ] || "$LIB/env.sh" down; }

# Fresh secrets and an empty database; what a killed run has left goes before its ids are forgotten.
product_prepare() {
  product_lock
  product_clean
  mkdir -p "$RUN"/{log,pid} "$DATA_DIR"
  (
    umask 077
    cat >"$RUN/settings" <<S
export BYOP_DATABASE_URL=sqlite:$RUN/byop.db
export BYOP_MASTER_KEY=$(openssl rand -base64 32)
export BYOP_JWT_SECRET=$(openssl rand -hex 32)
export BYOP_OPERATOR_TOKEN=$(openssl rand -hex 32)
export BYOP_DEV_MODE=1
export BYOP_LOG_FORMAT=text
export BYOP_LEASE_S=15
S
  )
  # shellcheck source=/dev/null
  . "$RUN/settings"
  "$BIN/api" init >>"$(product_log init)" 2>&1 || die "api init failed, see $(product_log init)"
}

product_start_one() {
  BYOP_ENV_STATE=$BYOP_STATE setsid -- "$LIB/supervise.sh" "$RUN/pid/$1" "$BIN/$1" >>"$(product_log "$1")" 2>&1 </dev/null 8>&- &
  echo $! >"$RUN/pid/$1.supervisor"
}

product_answers() { curl -sf -m 2 -o /dev/null "$BYOP_API_URL/readyz"; }

product_start() {
  local name
  GATEWAY=$BYOP_GATEWAY check_ports
  for name in "${PROCESSES[@]}"; do product_start_one "$name"; done
  wait_until 30 product_answers || die "the API does not answer, see $(product_log api)"
}

product_stop() {
  local file pid
  [ -d "$RUN/pid" ] || return 0
  for file in "$RUN"/pid/*.supervisor; do
    [ -e "$file" ] || continue
    pid=$(<"$file")
    ! is_ours "$pid" || kill -TERM "$pid" 2>/dev/null || true
  done
  for file in "$RUN"/pid/*.supervisor; do
    [ -e "$file" ] || continue
    pid=$(<"$file")
    local deadline=$((SECONDS + 40))
    while is_ours "$pid" && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.1; done
    # It does not end: its process group is ours alone.
    ! is_ours "$pid" || kill -KILL -- "-$pid" 2>/dev/null || true
    rm -f "$file"
  done
}

# Four clouds on this machine, whose machines are containers of the engine. Nothing of it outlives the process.
emulator_start() {
  local cloud clouds=()
  for cloud in hetzner digitalocean ovh aws; do clouds+=(--cloud "$cloud"); done
  BYOP_ENV_STATE=$BYOP_STATE setsid -- "$BIN/cloud-emulator" "${clouds[@]}" --fast --backing docker --image byop/vps:1 --mark "$TAG" \
    >"$RUN/emulator.json" 2>>"$(product_log emulator)" </dev/null 8>&- &
  # It stops with the others. Started again, it would have forgotten its machines.
  echo $! >"$RUN/pid/emulator.supervisor"
  wait_until 30 test -s "$RUN/emulator.json" || die "the emulator does not start, see $(product_log emulator)"
  BYOP_HETZNER_URL=$(emulator_url hetzner)/v1
  BYOP_DIGITALOCEAN_URL=$(emulator_url digitalocean)/v2
  BYOP_OVH_URL=$(emulator_url ovh)/1.0
  BYOP_OVH_TOKEN_URL=$(emulator_url ovh)/auth/oauth2/token
  BYOP_AWS_URL=$(emulator_url aws)
  export BYOP_HETZNER_URL BYOP_DIGITALOCEAN_URL BYOP_OVH_URL BYOP_OVH_TOKEN_URL BYOP_AWS_URL
}
emulator_url() { jq -er ".$1" "$RUN/emulator.json"; }
# emulator CLOUD WHAT: what only the emulated world itself knows: inventory, live, bill, requests.
emulator() { curl -sSf -m 10 "$(emulator_url "$1")/_emulator/$2"; }

# Ids of this run's rows: other installations may share the Docker engine, and theirs stay.
product_ids() { # TABLE
  [ ! -s "$RUN/byop.db" ] || python3 - "$RUN/byop.db" "$1" <<'P'
import sqlite3, sys
for (row,) in sqlite3.connect(sys.argv[1]).execute(f"select id from {sys.argv[2]}"):
    print(row)
P
}

# Servers are containers with a volume, builders containers, caches volumes: found by label, gone with the run.
# While the engine that has them does not answer, the ids stay for the next run.
product_clean() {
  local id label
  product_stop
  if [ -s "$RUN/byop.db" ] && [ -s "$BYOP_STATE/engine/host" ]; then
    local -x DOCKER_HOST
    DOCKER_HOST=$(<"$BYOP_STATE/engine/host")
    timeout 20 docker version >/dev/null 2>&1 || return 0
  fi
  for id in $(product_ids servers) $(product_ids build_jobs) $(product_ids clients); do
    for label in "byop.server=$id" "byop.build=$id" "byop.client=$id"; do remove_labelled "$label"; done
  done
  [ ! -e "$(product_log emulator)" ] || remove_labelled "byop.emulator=$TAG"
  rm -rf "$RUN"
}
remove_labelled() {
  docker ps -aq --filter "label=$1" | xargs -r docker rm -fv >/dev/null 2>&1 || true
  docker volume ls -q --filter "label=$1" | xargs -r docker volume rm >/dev/null 2>&1 || true
}

# api METHOD PATH [JSON]: prints the answer; a problem is said and fails. Connection failures are tried again, so that
# a restarted API is no failure; every creating request carries a key, so that a repeat creates nothing twice.
api() {
  local method=$1 path=$2 body=${3:-} key answer status try
  key=$(uuid)
  for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
    # shellcheck disable=SC2086
    if answer=$(curl -s -m 20 -X "$method" -w '\n%{http_code}' -H "Authorization: Bearer ${TOKEN:-}" \
      ${body:+-H 'Content-Type: application/json'} -H "Idempotency-Key: $key" ${body:+--data-binary "$body"} \
      "$BYOP_API_URL$path"); then
      status=${answer##*$'\n'}
      answer=${answer%$'\n'*}
      [[ $status == 2* ]] && {
        printf '%s' "$answer"
        return 0
      }
      [[ $status == 5* ]] || {
        printf 'api: %s %s: %s %s\n' "$method" "$path" "$status" "$answer" >&2
        return 1
      }
    fi
    [ "$try" -lt 15 ] && sleep 1
  done
  printf 'api: %s %s: no good answer after %s tries: %s\n' "$method" "$path" "$try" "${answer:-}" >&2
  return 1
}

uuid() { cat /proc/sys/kernel/random/uuid; }
field() { jq -er "$1"; }

# follow SECONDS PATH LABEL END...: prints each new status of a resource until it is one of END.
follow() {
  local seconds=$1 path=$2 label=$3 last='' now answer deadline
  deadline=$((SECONDS + seconds))
  shift 3
  while :; do
    answer=$(api GET "$path") || return 1
    now=$(field .status <<<"$answer")
    [ "$now" = "$last" ] || step "$label: $now" >&2
    last=$now
    [[ " $* " == *" $now "* ]] && break
    case $now in failed | cancelled | stuck | rolled_back | deleted) break ;; esac
    [ "$SECONDS" -lt "$deadline" ] || {
      echo "$label: still $now after ${seconds}s" >&2
      return 1
    }
    sleep 0.25
  done
  [[ " $* " == *" $now "* ]] || {
    jq -r '"\(.error_code // "no code"): \(.error_message // "no message")"' <<<"$answer" >&2
    return 1
  }
  printf '%s' "$answer"
}

# One app on its way: these make a thing and print its id.
sign_up() {
  local password
  password=$(openssl rand -hex 12)
  # shellcheck disable=SC2034  # for the caller to show
  LOGIN_EMAIL="owner-$RANDOM$RANDOM@example.com" LOGIN_PASSWORD=$password
  TOKEN=$(api POST /v1/signup "$(jq -nc --arg e "$LOGIN_EMAIL" --arg p "$password" \
    '{client_name: "Sample client", email: $e, password: $p}')" | field .tokens.access_token)
}

make_app() { # SLUG GIT_URL
  api POST /v1/apps "$(jq -nc --arg s "$1" --arg u "$2" '{slug: $s, git_url: $u}')" | field .id
}
make_customer() { # SLUG
  api POST /v1/customers "$(jq -nc --arg s "$1" '{slug: $s, name: $s}')" | field .id
}
make_server() { # CUSTOMER
  api POST /v1/servers "$(jq -nc --arg c "$1" '{customer_id: $c, provider: "local"}')" | field .id
}
make_account() { # CLOUD LOGIN
  api POST /v1/provider-accounts "$(jq -nc --arg c "$1" --argjson l "$2" '{name: $c, provider: $c, ($c): $l}')" | field .id
}
make_rented() { # CUSTOMER CLOUD ACCOUNT REGION SIZE
  api POST /v1/servers "$(jq -nc '$ARGS.positional as [$u, $c, $a, $r, $s] |
    {customer_id: $u, provider: $c, account_id: $a, region: $r, size: $s}' --args "$@")" | field .id
}
make_build() { # APP
  api POST "/v1/apps/$1/builds" '{}' | field .id
}
make_deployment() { # APP SERVER DOMAIN
  api POST "/v1/apps/$1/deployments" "$(jq -nc --arg s "$2" --arg d "$3" '{server_id: $s, domain: $d}')" | field .id
}

# visit DOMAIN ADDRESS [PATH]: an HTTPS request with a verified certificate.
visit() {
  curl -sSf -m 10 --cacert "$BYOP_VERIFY_CA_FILE" --resolve "$1:443:$2" "https://$1${3:-/}"
}
