//! Backups: their rows on both databases, their objects at an emulated storage, and whole copies of real databases.
//!
//! What talks to a storage runs where `BYOP_TEST_MOTO` names a `moto_server`; what copies, where a Docker engine is there
//! too, as `scripts/lib/env.sh` starts it.
#![allow(clippy::unwrap_used)]

mod bucket;
mod copies;
mod rows;
mod storage;
mod volumes;
