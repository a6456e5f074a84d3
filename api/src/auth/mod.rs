//! Who calls, and what they may do.
//!
//! Invariant: a handler gets its [`Caller`] only from an extractor that checked the scope the operation needs.

mod caller;
mod jwt;
mod password;
mod rate;
mod session;

pub use caller::{Actor, Admin, Builder, Caller, Deployer, Operator, Reader, Scope, Scopes};
pub use jwt::{ACCESS_SECONDS, AccessTokens, Claims};
pub use password::{MAX_BYTES, MIN_CHARS, PasswordError, Passwords};
pub use rate::RateLimit;
pub use session::{Tokens, open, refresh};

/// How an API key begins, and a refresh token: for scanners that look for leaked secrets.
pub const KEY_PREFIX: &str = "byop_";
pub const REFRESH_PREFIX: &str = "byoprt_";
