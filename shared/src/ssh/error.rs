//! What goes wrong between us and a server, told apart by what to do about it.

use russh::ChannelOpenFailure;

/// A failure of the connection, not of a command: a command that fails has an exit status.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    #[error("the server does not answer: {0}")]
    Unreachable(String),
    #[error("the server shows another host key than the known one")]
    HostKey,
    #[error("the server's name stands for an address that is not on the public internet")]
    Private,
    #[error("the server refuses the login key")]
    Refused,
    #[error("a key is not a valid OpenSSH key")]
    BadKey,
    #[error("{what} took longer than {seconds} s")]
    Timeout { what: &'static str, seconds: u64 },
    /// A unit used up its time and was stopped: nothing is wrong with the connection.
    #[error("a step on the server took longer than {seconds} s and was stopped")]
    UnitTimeout { seconds: u64 },
    #[error("the connection ended")]
    Closed,
    #[error("the server's SSH answer cannot be used: {0}")]
    Protocol(#[source] russh::Error),
    #[error("{command} failed with status {status}: {stderr}")]
    Failed { command: String, status: i64, stderr: String },
    #[error("the server's sshd forbids TCP forwarding (AllowTcpForwarding)")]
    NoForwarding,
    #[error("a newer attempt works on this server")]
    Fenced,
    #[error(transparent)]
    NulByte(#[from] crate::command::remote::NulByte),
    #[error("a local socket cannot be made")]
    Local(#[from] std::io::Error),
}

impl From<russh::Error> for SshError {
    fn from(e: russh::Error) -> Self {
        match e {
            russh::Error::UnknownKey => Self::HostKey,
            russh::Error::Disconnect | russh::Error::HUP | russh::Error::SendError | russh::Error::RecvError => {
                Self::Closed
            }
            russh::Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited) => Self::NoForwarding,
            russh::Error::IO(e) => Self::Unreachable(e.to_string()),
            russh::Error::ConnectionTimeout | russh::Error::KeepaliveTimeout | russh::Error::InactivityTimeout => {
                Self::Unreachable("no answer in time".to_owned())
            }
            other => Self::Protocol(other),
        }
    }
}

impl SshError {
    /// Whether the same may work later without anybody doing something.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_)
                | Self::Timeout { .. }
                | Self::UnitTimeout { .. }
                | Self::Closed
                | Self::Protocol(_)
                | Self::Local(_)
        )
    }
}
