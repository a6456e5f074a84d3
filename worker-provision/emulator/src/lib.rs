//! Four clouds in one process, for tests: the parts of EC2, DigitalOcean, Hetzner Cloud and OVHcloud that the engine
//! uses.
//!
//! Invariants: everything a request does happens at one moment of the world's clock; time passes only on that clock;
//! what exists and costs is known whether or not any list shows it. Absent: machines, unless a [`Backing`] brings
//! some, and every part of those clouds that the engine does not use.

mod ask;
mod aws;
mod backing;
mod budget;
mod clock;
mod desk;
mod digitalocean;
mod emulator;
mod errands;
mod fault;
mod hetzner;
mod ledger;
mod ovh;
mod provider;
mod record;
mod serve;
mod settings;

pub use backing::{Backing, BackingResult};
pub use clock::Clock;
pub use emulator::{Emulator, Outcome};
pub use fault::{Effect, Fault, Operation, Times};
pub use ledger::{BillLine, Machine, Seen, SeenOutcome, State, VerbClass};
pub use serve::{Server, serve};
pub use settings::{Access, Account, CloudKind, Credential, Delays, Role, Settings, known};
