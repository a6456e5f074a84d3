//! Talking to a server over SSH with a host key known beforehand.
//!
//! Invariants: a connection to a server whose host key is not exactly the pinned one never gets as far as a login;
//! every wait has a time limit; a remote command line is made by [`crate::command::remote`] only. A command whose
//! channel ends lives on at the far side, so what changes a server runs as a [`Unit`], which can be waited for again
//! and is stopped explicitly. Absent: what is run, and trust on first use.

mod error;
mod exec;
mod follow;
mod forward;
mod key;
mod pipe;
mod session;
mod unit;

pub use error::SshError;
pub use exec::{Exec, Output};
pub use follow::Followed;
pub use forward::ForwardedSocket;
pub use key::{KeyPair, generate_key, public_of};
pub use pipe::{Fed, Piped};
pub use session::{Reach, Session, Target, TcpStream, resolve};
pub use unit::{Guard, Unit, UnitResult};
