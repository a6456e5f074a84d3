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
