#!/bin/bash
# Runs a command while moto, an emulator of Amazon's services, answers at BYOP_TEST_MOTO.
#
#   moto.sh COMMAND...
set -euo pipefail
LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$LIB/../.." && pwd)
for part in layout steps ports packages; do
  # shellcheck source=/dev/null
  . "$LIB/$part.sh"
done
CLIENTS_DIR=$(clients)
PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
LOG=$(mktemp)
MOTO_AMIS_PATH=$ROOT/worker-provision/tests/moto-images.json "$CLIENTS_DIR/bin/moto_server" -p "$PORT" >"$LOG" 2>&1 &
MOTO=$!
trap 'kill $MOTO 2>/dev/null; wait $MOTO 2>/dev/null; rm -f "$LOG"' EXIT
trap 'exit 130' INT TERM HUP
wait_until 60 bash -c "exec 3<>/dev/tcp/127.0.0.1/$PORT" || {
  cat "$LOG"
  die "moto does not answer"
}
export BYOP_TEST_MOTO=http://127.0.0.1:$PORT
"$@"
