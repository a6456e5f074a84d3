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

/// A place between what is durable and what is not: a write of the database, a request to a cloud. Only tests see it.
pub fn boundary(_place: &'static str) {
    #[cfg(feature = "testing")]
    plan::reached(_place);
}

/// Deaths inside one process: the task that runs under a plan ends at one of its boundaries, as if the process had.
#[cfg(feature = "testing")]
pub mod plan {
    use std::{
        panic::{AssertUnwindSafe, resume_unwind},
        sync::{Arc, Mutex, PoisonError},
    };

    use futures::FutureExt;

    tokio::task_local! { static PLAN: Arc<Plan>; }

    /// Which boundary is the last one, and which were reached.
    #[derive(Debug, Default)]
    pub struct Plan {
        deaths: Vec<usize>,
        reached: Mutex<Vec<&'static str>>,
    }

    /// The task died.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Died;

    impl Plan {
        /// Dies at each of these boundaries, counted from 0 over all runs under the plan.
        pub fn dying_at(deaths: impl IntoIterator<Item = usize>) -> Arc<Self> {
            Arc::new(Self { deaths: deaths.into_iter().collect(), reached: Mutex::default() })
        }

        /// The boundaries reached so far.
        pub fn reached(&self) -> Vec<&'static str> {
            self.reached.lock().unwrap_or_else(PoisonError::into_inner).clone()
        }
    }

    pub(super) fn reached(place: &'static str) {
        let Ok(plan) = PLAN.try_with(Arc::clone) else { return };
        let number = {
            let mut reached = plan.reached.lock().unwrap_or_else(PoisonError::into_inner);
            reached.push(place);
            reached.len() - 1
        };
        if plan.deaths.contains(&number) {
            // Unlike a panic it is not reported: it is what was asked for.
            resume_unwind(Box::new(Died));
        }
    }

    /// Runs something to its end or to its death. What it holds is dropped then: its transactions are rolled back.
    pub async fn run<T>(plan: &Arc<Plan>, work: impl Future<Output = T>) -> Result<T, Died> {
        match PLAN.scope(plan.clone(), AssertUnwindSafe(work).catch_unwind()).await {
            Ok(done) => Ok(done),
            Err(payload) if payload.is::<Died>() => Err(Died),
            Err(other) => resume_unwind(other),
        }
    }
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
