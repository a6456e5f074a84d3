#!/bin/sh
# Runs a cron component once, unless its run before still goes on. Arguments: the release's project, its compose file, the
# service, how many seconds it may take, the folder of its log.
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
project=$1 file=$2 service=$3 limit=$4 log=$5
umask 077
mkdir -p "$log"
now() { date -u +%Y-%m-%dT%H:%M:%SZ; }

exec 9>>"$log/lock"
if ! flock -n 9; then
  printf '%s - skipped\n' "$(now)" >>"$log/runs"
  exit 0
fi
began=$(now)
name=$project-$service
timeout -k 30 "$limit" docker compose --ansi never --progress quiet -p "$project" -f "$file" \
  run --rm --no-deps -T --name "$name" "$service" >>"$log/output" 2>&1 9>&-
status=$?
# A client of Docker that was ended leaves its container running.
docker rm -f "$name" >/dev/null 2>&1
printf '%s %s %s\n' "$began" "$(now)" "$status" >>"$log/runs"
for part in runs output; do
  if [ "$(stat -c %s "$log/$part" 2>/dev/null || echo 0)" -gt 1048576 ]; then
    tail -c 524288 "$log/$part" >"$log/$part.tmp" && mv "$log/$part.tmp" "$log/$part"
  fi
done
