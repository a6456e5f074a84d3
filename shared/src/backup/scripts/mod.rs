//! What is run on a server for a copy: one set of scripts for each kind of thing.
//!
//! Invariants: a script gets names as arguments (1: the thing, 2: the copy's id, 3: bytes to leave free) and never a secret;
//! what it makes bears the id; a container that it makes for a test has no network and a limit of memory. It ends with 66
//! when there is no such volume, 69 when the service does not run, 73 when there is too little space, 65 when the copy itself
//! is wrong.

mod postgres;
mod volume;

use crate::domain::BackupKind;

/// The scripts of one kind.
pub struct Scripts {
    /// Of an object's name, before `.age`.
    pub extension: &'static str,
    /// Prints the copy.
    pub dump: &'static str,
    /// Makes an empty place for a test, and waits until it can be used.
    pub test_begin: &'static str,
    /// Reads a copy into that place.
    pub test_fill: &'static str,
    /// Prints how many things are there, a space, and how much is in them, all of which was read.
    pub test_look: &'static str,
    /// Removes what was made for the copy or its test.
    pub clear: &'static str,
    /// Makes an empty place beside what lives, unless the restore of this id is done: then it prints `done`.
    pub restore_begin: &'static str,
    /// Reads a copy into that place.
    pub restore_fill: &'static str,
    /// Puts it in the place of what lives. May be run again.
    pub restore_swap: &'static str,
    /// Removes the place beside what lives.
    pub restore_undo: &'static str,
}

/// Removes everything that bears the id.
const CLEAR: &str = r#"set -eu
containers=$(docker ps -aq --filter "label=byop.backup=$2")
[ -z "$containers" ] || docker rm -fv $containers >/dev/null
volumes=$(docker volume ls -q --filter "label=byop.backup=$2")
[ -z "$volumes" ] || docker volume rm -f $volumes >/dev/null
"#;

/// Those of a kind; `None` for one that cannot be backed up.
pub fn scripts(kind: BackupKind) -> Option<&'static Scripts> {
    match kind {
        BackupKind::Postgres => Some(&postgres::SCRIPTS),
        BackupKind::Volume => Some(&volume::SCRIPTS),
        BackupKind::Mysql | BackupKind::Redis => None,
    }
}
