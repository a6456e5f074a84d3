//! Argument vectors for git, docker and compose. Pure: nothing here starts a process, and nothing is a shell string.

pub mod git;
pub mod remote;
