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
        mod on_scratch {
            use $crate::harness::Harness;
            $(pub async fn $test(scratch: &shared::store::scratch::Scratch) {
                super::$test(&Harness::on(scratch).await).await;
            })*
            shared::on_both_databases! { $($test,)* }
        }
    };
}
