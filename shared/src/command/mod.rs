//! Command lines for remote programs. Pure: nothing here starts a process. Local programs get argument vectors where they
//! are started, never a shell string.

pub mod remote;
