//! Volumes: `tar` of what is in one, by root on the server, for a volume's files may belong to anybody.
//!
//! Invariants: device files, which nothing in a container should have, do not come back; what lives is replaced by renaming
//! its directory, while the containers that have it open are stopped. Absent: one moment for all files: what is written
//! while it is read may be half old and half new.

use super::{CLEAR, Scripts};

pub(super) const SCRIPTS: Scripts = Scripts {
    extension: "tar",
    dump: DUMP,
    test_begin: TEST_BEGIN,
    test_fill: TEST_FILL,
    test_look: TEST_LOOK,
    clear: CLEAR,
    restore_begin: RESTORE_BEGIN,
    restore_fill: RESTORE_FILL,
    restore_swap: RESTORE_SWAP,
    restore_undo: RESTORE_UNDO,
};

/// `tar` ends with 1 when a file changed while it was read.
const DUMP: &str = r#"set -eu
dir=$(docker volume inspect -f '{{.Mountpoint}}' "$1" 2>/dev/null) || exit 66
tar -C "$dir" --numeric-owner --one-file-system -cf - . || [ $? -eq 1 ]
"#;

const TEST_BEGIN: &str = r#"set -eu
dir=$(docker volume inspect -f '{{.Mountpoint}}' "$1" 2>/dev/null) || exit 66
need=$(du -sk "$dir" | awk '{ printf "%.0f", $1 * 1024 }')
free=$(df -P -k "$dir" | awk 'NR == 2 { printf "%.0f", $(NF-2) * 1024 }')
[ "$((need + need / 4 + $3))" -le "$free" ] || exit 73
docker volume create --label "byop.backup=$2" "byop-test-$2" >/dev/null
"#;

const TEST_FILL: &str = r#"set -eu
dir=$(docker volume inspect -f '{{.Mountpoint}}' "byop-test-$2")
tar -C "$dir" --numeric-owner -xpf - || exit 65
"#;

const TEST_LOOK: &str = r#"set -eu
cd "$(docker volume inspect -f '{{.Mountpoint}}' "byop-test-$2")"
files=$(find . -type f -printf . | wc -c)
bytes=$(find . -type f -exec cat {} + | wc -c)
echo "$files $bytes"
"#;

/// A script about a restore: it knows the names of what it works with. Where a container that was stopped is gone, because a
/// deployment replaced it meanwhile, nothing is started.
macro_rules! restoring {
    ($body:literal) => {
        concat!(
            r#"set -eu
dir=$(docker volume inspect -f '{{.Mountpoint}}' "$1" 2>/dev/null) || exit 66
top=${dir%/*}
fresh=$top/byop-fresh-$2 before=$top/byop-before-$2 mark=$top/byop-restored stopped=$top/byop-stopped-$2
is_done() { [ "$(cat "$mark" 2>/dev/null)" = "$2" ]; }
start_again() {
  [ -e "$stopped" ] || return 0
  while read -r c; do
    ! docker inspect "$c" >/dev/null 2>&1 || docker start "$c" >/dev/null </dev/null
  done < "$stopped"
  rm -f "$stopped"
}
"#,
            $body
        )
    };
}

/// What an attempt that was killed in the middle of the change has begun is finished. One that was killed before it left the
/// app stopped, which is not to wait until the copy is there once more.
const RESTORE_BEGIN: &str = restoring!(
    r#"if [ -e "$before" ]; then
  [ -e "$dir" ] || mv -T "$fresh" "$dir"
  echo "$2" > "$mark"
fi
start_again
if is_done "$@"; then
  rm -rf "$before"
  echo done
  exit 0
fi
need=$(du -sk "$dir" | awk '{ printf "%.0f", $1 * 1024 }')
free=$(df -P -k "$dir" | awk 'NR == 2 { printf "%.0f", $(NF-2) * 1024 }')
[ "$((need + need / 4 + $3))" -le "$free" ] || exit 73
rm -rf "$fresh"
mkdir "$fresh"
"#
);

const RESTORE_FILL: &str = restoring!(
    r#"tar -C "$fresh" --numeric-owner -xpf - || exit 65
find "$fresh" \( -type b -o -type c \) -delete
sync -f "$fresh"
"#
);

/// Which containers were stopped is written down first, so that they are started again whatever happens.
const RESTORE_SWAP: &str = restoring!(
    r#"docker ps -q --no-trunc --filter "volume=$1" > "$stopped.tmp"
mv "$stopped.tmp" "$stopped"
xargs -r docker stop -t 60 < "$stopped" >/dev/null
mv -T "$dir" "$before"
mv -T "$fresh" "$dir"
echo "$2" > "$mark"
start_again
rm -rf "$before"
"#
);

/// Once the mark is there the change has happened, and what was before may be half removed: then it is finished. Else what was
/// before comes back, wherever the last attempt has died.
const RESTORE_UNDO: &str = restoring!(
    r#"if is_done "$@"; then
  start_again
  rm -rf "$before"
  exit 0
fi
if [ -e "$before" ]; then
  [ ! -e "$dir" ] || mv -T "$dir" "$fresh"
  mv -T "$before" "$dir"
fi
start_again
rm -rf "$fresh" "$stopped.tmp"
"#
);
