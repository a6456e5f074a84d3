//! Each cloud's client against the emulator of that cloud: one course for all of them.
#![allow(clippy::expect_used, reason = "a test ends at the first thing that is wrong")]

mod faults;
mod life;
#[path = "../common/logins.rs"]
mod logins;
mod names;
mod openapi;
#[path = "../common/wire.rs"]
mod wire;
mod world;
