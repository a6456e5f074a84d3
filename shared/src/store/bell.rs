//! Notifications between processes: `LISTEN` on Postgres; on SQLite, which has none, files beside the database whose
//! change the kernel reports.
//!
//! Invariant: a bell is rung after the commit it speaks of. It is only a hint: one that is lost costs a listener its
//! own poll interval, never a job. Absent: what the channels mean.

use std::{
    fs,
    path::{Path, PathBuf},
};

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use sqlx::postgres::PgListener;
use tokio::sync::mpsc;
use tracing::debug;

use super::DbError;

/// The folder with one file for each channel and payload, and which of them to ring at commit.
#[derive(Clone, Debug)]
pub struct Bells {
    folder: PathBuf,
    pending: Vec<(&'static str, &'static str)>,
}

impl Bells {
    pub(super) fn beside(database: &Path) -> Self {
        let mut folder = database.as_os_str().to_owned();
        folder.push("-bells");
        Self { folder: folder.into(), pending: Vec::new() }
    }

    pub(super) fn add(&mut self, channel: &'static str, payload: &'static str) {
        if !self.pending.contains(&(channel, payload)) {
            self.pending.push((channel, payload));
        }
    }

    /// Rings once for each; a file that cannot be written (disk full) costs only time.
    pub(super) fn ring(self) {
        for (channel, payload) in self.pending {
            let folder = self.folder.join(channel);
            let rung = fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join(payload), b"."));
            if let Err(e) = rung {
                debug!(error = %e, channel, "a bell could not be rung");
            }
        }
    }

    pub(super) fn listen(&self, channel: &'static str) -> Result<Listener, notify::Error> {
        let folder = self.folder.join(channel);
        fs::create_dir_all(&folder).map_err(notify::Error::io)?;
        let (heard, rings) = mpsc::unbounded_channel();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            for path in event.iter().filter(|e| e.kind.is_modify() || e.kind.is_create()).flat_map(|e| &e.paths) {
                if let Some(name) = path.file_name().and_then(|n| n.to_str()) {
                    let _ = heard.send(name.to_owned());
                }
            }
        })?;
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
        Ok(Listener::Files { rings, _watcher: watcher })
    }
}

/// Hears one channel.
pub enum Listener {
    Files { rings: mpsc::UnboundedReceiver<String>, _watcher: RecommendedWatcher },
    Postgres(Box<PgListener>),
}

impl Listener {
    /// The next payload.
    pub async fn next(&mut self) -> Result<String, DbError> {
        match self {
            Listener::Files { rings, .. } => match rings.recv().await {
                Some(payload) => Ok(payload),
                None => Err(notify::Error::generic("the watcher ended").into()),
            },
            Listener::Postgres(listener) => Ok(listener.recv().await?.payload().to_owned()),
        }
    }
}
