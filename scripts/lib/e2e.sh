# shellcheck shell=bash
# The frame of an end-to-end scenario: the engine's processes on a fresh database, a Git server, and removal of all of
# it at the end. The environment must be up; the programs are built when they are not. Sourced as
#   . "$(dirname "$0")/../lib/e2e.sh"
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
LIB=$ROOT/scripts/lib
# shellcheck source=/dev/null
. "$LIB/layout.sh"
# shellcheck source=/dev/null
. "$LIB/steps.sh"
# shellcheck source=/dev/null
. "$LIB/ports.sh"
# shellcheck source=/dev/null
. "$LIB/rust.sh"
forget_settings
[ -s "$ENV_FILE" ] || {
  echo "SKIPPED ${0##*/}: the local environment is not up (scripts/lib/env.sh up)"
  exit 0
}
# shellcheck source=/dev/null
. "$ENV_FILE"
# shellcheck source=/dev/null
. "$LIB/product.sh"

e2e_end() {
  local code=$?
  trap - EXIT
  trap '' INT TERM HUP
  set +e
  # A signal comes in the middle of a step, whose output may go nowhere.
  exec >&2
  [ "$code" = 0 ] || {
    echo "--- ${0##*/} failed with $code; the end of each log:"
    local file
    for file in "$RUN"/log/*.log; do
      printf -- '--- %s\n' "${file##*/}"
      grep -v ' request ' "$file" | tail -n 25
    done
  }
  run_end
  rm -rf "${WORK:-}"
  exit "$code"
}

# e2e_begin [COMMAND...]: the command runs before the engine's processes start, which get the settings that it exports.
e2e_begin() {
  WORK=$(mktemp -d)
  trap e2e_end EXIT
  trap 'exit 130' INT TERM HUP
  # As scripts/test builds them: quickstart's have the same names and lack a cloud.
  find_rust
  (cd "$ROOT" && cargo build --locked --quiet --workspace --all-features --bins)
  product_prepare
  "$LIB/env.sh" registry start >/dev/null
  "$LIB/git-server.sh" start >/dev/null
  "$@"
  product_start
}

# serve NAME DIR: the folder as a Git repository; prints its URL. Called again, its changes are a new commit.
serve() { "$LIB/git-server.sh" add "$1" "$2" | grep '^http' | head -n 1; }

dns() { "$LIB/env.sh" dns set "$1" "$2" >/dev/null; }

# is WHAT ACTUAL EXPECTED
is() {
  [ "$2" = "$3" ] || die "$1 is '$2', not '$3'"
  step "$1: $2"
}

# has WHAT TEXT PART
has() {
  case $2 in *"$3"*) step "$1 has: $3" ;; *) die "$1 has no '$3': $2" ;; esac
}

# fails WHAT COMMAND...: the command must fail; prints its error.
fails() {
  local what=$1 said
  shift
  if said=$("$@" 2>&1); then die "$what was possible: $said"; fi
  step "$what is refused"
  printf '%s\n' "$said" >"$WORK/refusal"
}
