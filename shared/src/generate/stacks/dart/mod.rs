//! Dart: what a package says, and servers as one compiled program.
//!
//! Absent: Serverpod. Flutter has a module of its own.

pub mod pubspec;
mod server;

pub use server::Dart;
