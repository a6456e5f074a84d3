//! Logging of the processes: JSON lines on standard error, or plain text when `BYOP_LOG_FORMAT=text`.
//!
//! Invariant: log lines carry ids, never secrets or tenants' log text. Level by `RUST_LOG`, default `info`.

use tracing_subscriber::{EnvFilter, fmt};

/// The platform's verifier says at ERROR what its caller is told anyway.
const DEFAULT: &str = "info,apalis_core=warn,rustls_platform_verifier=off";

/// Starts logging. Call once, first thing in `main`.
pub fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let logs = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if crate::config::optional("BYOP_LOG_FORMAT").as_deref() == Some("text") {
        logs.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init();
    } else {
        logs.json().flatten_event(true).init();
    }
}
