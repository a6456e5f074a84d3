//! Copies of databases and volumes: out of their server, encrypted, into a client's bucket, tried out, and back.
//!
//! Invariants: a copy is encrypted before it leaves this process, and read back from the bucket before it counts; however
//! large it is, a few parts of it are in memory; everything that is made on a server for a copy bears the copy's id and is
//! removed by it, so an attempt that was killed leaves nothing that the next one does not find. Absent: the handlers of the
//! jobs, and when anything is done.

mod crypt;
#[cfg(feature = "testing")]
mod local;
mod make;
mod request;
mod retention;
mod scripts;
mod server;
mod storage;
mod sweep;

pub use crypt::{Key, new_key};
#[cfg(feature = "testing")]
pub use local::Local;
pub use make::{Copy, Uploaded};
pub use request::{Thing, request, thing};
pub use retention::expired;
pub use scripts::{Scripts, scripts};
pub use server::{Server, Sink};
pub use storage::{Access, Storage};
pub use sweep::{ask_for_due, clean};
