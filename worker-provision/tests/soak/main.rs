//! Real worker processes against emulated clouds on sockets: killed at random under faults (`soak`), and asked for a
//! hundred servers at each cloud at once (`fanout`).
//!
//! Figures are printed; a violation is a failure. benches/soak and benches/fanout start this with arguments; without any
//! it does nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test ends at the first thing that is wrong"
)]

mod api;
mod bills;
mod check;
mod crowd;
mod fanout;
mod faults;
#[path = "../common/logins.rs"]
mod logins;
mod place;
mod probes;
#[path = "../common/sizes.rs"]
mod sizes;
mod soak;

use std::process::ExitCode;

use shared::store::scratch::Engine;

const USAGE: &str = "usage: soak [--seconds N] [--servers N] [--seed S] [--postgres] | fanout --api PATH [--servers N]";

/// What the command line asks for.
struct Options {
    what: String,
    seconds: u64,
    servers: usize,
    seed: u64,
    engine: Engine,
    api: String,
}

fn options(mut given: impl Iterator<Item = String>) -> Option<Options> {
    let what = given.next()?;
    let servers = match what.as_str() {
        "soak" => 0,
        "fanout" => 100,
        _ => return None,
    };
    let mut options = Options { what, seconds: 60, servers, seed: 1, engine: Engine::Sqlite, api: String::new() };
    while let Some(name) = given.next() {
        match name.as_str() {
            "--seconds" => options.seconds = given.next()?.parse().ok()?,
            "--servers" => options.servers = given.next()?.parse().ok()?,
            "--seed" => options.seed = given.next()?.parse().ok()?,
            "--postgres" => options.engine = Engine::Postgres,
            "--api" => options.api = given.next()?,
            _ => return None,
        }
    }
    if options.servers == 0 {
        // As many as there is time for, and no less than what proves something.
        options.servers = usize::try_from(options.seconds).unwrap_or(0).max(200);
    }
    Some(options)
}

#[tokio::main]
async fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Some(options) = options(std::env::args().skip(1)) else {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    };
    let violations = match options.what.as_str() {
        "soak" => soak::run(&options).await,
        _ => fanout::run(&options).await,
    };
    for violation in violations.iter().take(20) {
        println!("violation: {violation}");
    }
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
