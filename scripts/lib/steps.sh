# shellcheck shell=bash
# Progress lines, bounded waits, and long-lived children that can be found again.
#
# A child is recorded as a pid file and carries BYOP_ENV_STATE=<state dir> in its
# environment. It is only ever signalled while it still carries that mark, so a
# recycled pid is never hit.

step() {
  local now=${EPOCHREALTIME/[.,]/}
  local ms=$(((now - STARTED_US) / 1000))
  printf '%4d.%ds  %s\n' $((ms / 1000)) $((ms % 1000 / 100)) "$*"
}
# Scripts that this one starts count on from here.
export STARTED_US=${STARTED_US:-${EPOCHREALTIME/[.,]/}}

note() { printf '         %s\n' "$*"; }

die() {
  printf 'env: %s\n' "$*" >&2
  exit 1
}

need_root() {
  [ "$(id -u)" = 0 ] || die "this needs root (it starts a Docker engine, makes a bridge and installs packages)"
}

# wait_until SECONDS COMMAND...: polls, and fails with the command's name when time is up.
wait_until() {
  local seconds=$1 deadline
  shift
  deadline=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || {
      printf 'env: waited %ss for: %s\n' "$seconds" "$*" >&2
      return 1
    }
    sleep 0.1
  done
}

pid_file() { printf '%s/pid/%s' "$BYOP_STATE" "$1"; }
log_file() { printf '%s/log/%s' "$BYOP_STATE" "$1"; }

# True while the process still carries this environment's mark.
is_ours() {
  grep -qszxF "BYOP_ENV_STATE=$BYOP_STATE" "/proc/$1/environ"
}

running() {
  local file pid
  file=$(pid_file "$1")
  [ -s "$file" ] || return 1
  pid=$(<"$file")
  is_ours "$pid"
}

# spawn NAME COMMAND...: starts a child in its own session, its output in the log folder.
spawn() {
  local name=$1
  shift
  mkdir -p "$BYOP_STATE/pid" "$BYOP_STATE/log"
  BYOP_ENV_STATE=$BYOP_STATE setsid -- "$@" >"$(log_file "$name")" 2>&1 </dev/null 8>&- 9>&- &
  echo $! >"$(pid_file "$name")"
}

# stop NAME [SECONDS [SIGNAL]]: asks, waits, then insists.
stop() {
  local name=$1 seconds=${2:-5} signal=${3:-TERM} file pid
  file=$(pid_file "$name")
  [ -s "$file" ] || return 0
  pid=$(<"$file")
  if is_ours "$pid"; then
    kill "-$signal" "$pid" 2>/dev/null || true
    local deadline=$((SECONDS + seconds))
    while is_ours "$pid" && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.05; done
    ! is_ours "$pid" || kill -KILL "$pid" 2>/dev/null || true
  fi
  rm -f "$file"
}

# Every process that still carries our mark, whatever its pid file says.
marked_pids() {
  local dir
  for dir in /proc/[0-9]*; do
    is_ours "${dir#/proc/}" && printf '%s\n' "${dir#/proc/}"
  done
  return 0
}

# A file that is whole or absent: written beside its place, then renamed.
write_file() {
  local path=$1
  mkdir -p "$(dirname "$path")"
  cat >"$path.new"
  mv -f "$path.new" "$path"
}
