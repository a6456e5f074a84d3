#!/bin/bash
# supervise.sh PID_FILE COMMAND...: keeps one process running until told to stop (TERM), and says when it ended.
# The process's own pid stands in PID_FILE.
set -u
pid_file=$1
shift
stopping=''
child=''
trap 'stopping=1; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null' TERM INT
while [ -z "$stopping" ]; do
  "$@" &
  child=$!
  echo "$child" >"$pid_file"
  # `wait` returns early when a signal comes; only the child's end counts.
  while kill -0 "$child" 2>/dev/null; do wait "$child"; code=$?; done
  [ -n "$stopping" ] || {
    echo "supervise: ${1##*/} ended with $code; starting it again" >&2
    sleep 0.3
  }
done
rm -f "$pid_file"
