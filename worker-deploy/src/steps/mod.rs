//! What is done for a release, one step a file. Every step may be repeated at any time.

mod claim;
mod containers;
mod cron;
mod drain;
mod evidence;
mod hold;
mod name;
mod place;
mod prepare;
mod pull;
mod retire;
mod route;
mod server;
mod services;
mod start;
mod switch;
mod turns;
mod verify;
mod watch;

pub use claim::{claim, claim_if_own, outdated, raise_epoch};
pub use drain::drain;
pub use name::{Lookup, leads_here};
pub use place::{make_room, place};
pub use prepare::run_release_command;
pub use pull::pull;
pub use retire::{Left, forget, prune, retire_others, stop_units, take_down, wipe};
pub use route::{lead_away, lead_here, routes_text};
pub use server::ready_server;
pub use services::start_services;
pub use start::{start, write_compose};
pub use switch::{answers_outside, looks_well};
pub use turns::{revive, stop_others};
pub use verify::healthy;
pub use watch::error_rate;
