//! Places where a test lets a process die, to see that another one finishes its work.
//!
//! `BYOP_CRASH_AT=<step>.before` or `<step>.after` ends the process at once at that place, as a power cut would: no
//! destructor runs. Without the variable nothing happens. The steps' names stand where they are used.

/// Dies here when the environment names this place.
pub fn point(step: &'static str, place: &'static str) {
    let wanted = crate::config::optional("BYOP_CRASH_AT");
    if wanted.as_deref().and_then(|w| w.split_once('.')) == Some((step, place)) {
        tracing::error!(step, place, "dying as asked");
        std::process::abort();
    }
}

/// Runs a step between its two places.
pub async fn around<T>(step: &'static str, work: impl Future<Output = T>) -> T {
    point(step, "before");
    let done = work.await;
    point(step, "after");
    done
}

/// Waits until a process that was to die at `place` has, and checks that it did it in this way.
#[cfg(feature = "testing")]
pub async fn dies(process: &mut std::process::Child, place: &str) {
    use std::{os::unix::process::ExitStatusExt, time::Duration};
    const ABORTED: i32 = 6;
    let until = tokio::time::Instant::now() + Duration::from_secs(120);
    loop {
        match process.try_wait() {
            Ok(Some(end)) => {
                assert_eq!(end.signal(), Some(ABORTED), "{place}: the process ended otherwise: {end}");
                return;
            }
            other => assert!(tokio::time::Instant::now() < until, "{place}: the process did not die: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
