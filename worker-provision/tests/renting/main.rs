//! Renting against emulated clouds on a clock that the test moves: every single death at every boundary, under every
//! behaviour of every cloud, and what then stands and costs.
//!
//! `BYOP_TEST_MATRIX=full` runs all of them; without it some of them, beginning at a place that the seed in
//! `BYOP_TEST_SEED` chooses. The figures are printed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test ends at the first thing that is wrong"
)]

mod accounts;
mod behaviours;
mod checks;
mod hazards;
mod life;
#[path = "../common/logins.rs"]
mod logins;
mod matrix;
mod names;
mod random;
#[path = "../common/sizes.rs"]
mod sizes;
#[path = "../common/wire.rs"]
mod wire;
mod wishes;
mod world;
