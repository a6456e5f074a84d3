//! The queue's guarantees, each tried on SQLite and on Postgres, with real processes where a process dies.
//!
//! Postgres is the server at `BYOP_TEST_POSTGRES_URL` (scripts/test starts one); without it those tests say so and pass over.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod enqueueing;
mod faults;
mod harness;
mod limits;
mod processes;

/// Runs each named `async fn(&Harness)` of this module on both databases.
#[macro_export]
macro_rules! on_both {
    ($($test:ident,)*) => {
        mod sqlite { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $test() {
            $crate::on_both!(@run Sqlite, $test);
        })* }
        mod postgres { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $test() {
            $crate::on_both!(@run Postgres, $test);
        })* }
    };
    (@run $engine:ident, $test:ident) => {
        let started = $crate::harness::Harness::start($crate::harness::Engine::$engine, stringify!($test)).await;
        let Some(harness) = started else { return };
        let limit = std::time::Duration::from_secs(120);
        tokio::time::timeout(limit, super::$test(&harness)).await.expect("the test ends in time");
        harness.finish().await;
    };
}
