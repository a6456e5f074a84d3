//! What is backed up, and how long that stays.
//!
//! Invariant: a source's text names one thing and is the same each time, so it is the key of everything that belongs to the
//! thing. Absent: how anything is copied.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{AppId, ServerId, ServiceId, component::ComponentKind, component::ComponentName};

/// The kinds of things that can be backed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BackupKind {
    Postgres,
    Mysql,
    Redis,
    Volume,
}

/// A stored text that this version does not know.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("unknown kind or source of a backup")]
pub struct UnknownSource;

impl BackupKind {
    pub const ALL: &'static [Self] = &[Self::Postgres, Self::Mysql, Self::Redis, Self::Volume];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Redis => "redis",
            Self::Volume => "volume",
        }
    }

    /// That of a managed service; `None` for a component that is none.
    pub fn of_service(kind: ComponentKind) -> Option<Self> {
        match kind {
            ComponentKind::Postgres => Some(Self::Postgres),
            ComponentKind::Mysql => Some(Self::Mysql),
            ComponentKind::Redis => Some(Self::Redis),
            _ => None,
        }
    }
}

impl fmt::Display for BackupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for BackupKind {
    type Err = UnknownSource;

    fn from_str(text: &str) -> Result<Self, UnknownSource> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text).ok_or(UnknownSource)
    }
}

/// One thing that can be backed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupSource {
    Service(ServiceId),
    /// A volume of an app on a server.
    Volume {
        server: ServerId,
        app: AppId,
        name: ComponentName,
    },
}

impl fmt::Display for BackupSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(id) => write!(f, "service:{id}"),
            Self::Volume { server, app, name } => write!(f, "volume:{server}:{app}:{name}"),
        }
    }
}

impl FromStr for BackupSource {
    type Err = UnknownSource;

    fn from_str(text: &str) -> Result<Self, UnknownSource> {
        let parts: Vec<&str> = text.split(':').collect();
        let id = |text: &str| text.parse().map_err(|_| UnknownSource);
        match parts[..] {
            ["service", service] => Ok(Self::Service(ServiceId(id(service)?))),
            ["volume", server, app, name] => Ok(Self::Volume {
                server: ServerId(id(server)?),
                app: AppId(id(app)?),
                name: name.parse().map_err(|_| UnknownSource)?,
            }),
            _ => Err(UnknownSource),
        }
    }
}

/// What a test restore found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Tables of a database, or files of a volume.
    pub things: i64,
    /// Rows in all tables together, or the bytes in all files.
    pub contents: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_round_trip() {
        let name: ComponentName = "uploads".parse().expect("a name");
        let volume = BackupSource::Volume { server: ServerId::new(), app: AppId::new(), name };
        for source in [BackupSource::Service(ServiceId::new()), volume] {
            assert_eq!(source.to_string().parse::<BackupSource>().expect("its own text"), source);
        }
        for bad in ["", "service:", "service:x", "volume:a:b:c", "other:1"] {
            assert!(bad.parse::<BackupSource>().is_err(), "{bad}");
        }
    }
}
