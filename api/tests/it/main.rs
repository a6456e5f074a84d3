//! The API over real HTTP and a database of its own per test: SQLite, or Postgres with `BYOP_TEST_POSTGRES_URL`.

mod access;
mod accounts;
mod actions;
mod clouds;
mod deliveries;
mod document;
mod environment;
mod fixture;
mod generated;
mod idempotency;
mod limits;
mod logs;
mod names;
mod problems;
mod process;
mod receiver;
mod registry;
mod rented;
mod replay;
mod requests;
mod resources;
mod sessions;
mod states;
mod walk;
mod webhooks;
