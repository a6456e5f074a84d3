//! What the store says about accounts at clouds, the machines in them, and what is found there, on both databases.
#![allow(clippy::unwrap_used)]

mod accounts;
mod machines;
mod names;
mod servers;
mod world;
