//! The apalis side: a backend that yields leases, and the layer that runs each job in its own task.
//!
//! Invariants: the stream never yields an error and never drops a running job; the layer always answers `Ok`, because
//! how an attempt ended is written by [`super::settle`], not by apalis.

use std::{
    any::Any,
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use apalis::prelude::{Backend, BoxDynError, Task, TaskBuilder, TaskId, WorkerContext};
use apalis_core::backend::{BackendConfig, finalize::Ephemeral};
use futures::{FutureExt, future::BoxFuture};
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};
use tower::{Layer, Service};
use tracing::{Instrument, info_span};

use super::{
    backoff::Backoff,
    job::{JobError, Lease, StopReason},
    running::Running,
    settle::{End, Settlement},
};

/// How long a job that was told to stop may take for it before its task is dropped: a cancelled release has a container
/// to end in its own time, over a connection that may be slow.
pub(super) const STOP_GRACE: Duration = Duration::from_secs(240);

/// The stream of leases that the claimer fills.
#[derive(Clone)]
pub(super) struct LeaseBackend {
    pub leases: Arc<Mutex<mpsc::UnboundedReceiver<Lease>>>,
    pub layer: LeaseLayer,
}

impl Backend for LeaseBackend {
    type Task = Task<Lease>;
    type Error = Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, _: &WorkerContext) -> Poll<Option<Result<Task<Lease>, Infallible>>> {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        leases.poll_recv(cx).map(|lease| lease.map(|lease| Ok(task(lease))))
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

/// The task id is unique for each attempt, since apalis refuses an id it has seen.
fn task(lease: Lease) -> Task<Lease> {
    let id = TaskId::from_string(format!("{}#{}", lease.job.id, lease.job.attempt));
    TaskBuilder::new(lease).task_id(id).build()
}

impl BackendConfig for LeaseBackend {
    type Args = Lease;
    type Id = String;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = LeaseLayer;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> LeaseLayer {
        self.layer.clone()
    }
}

/// Runs each job in a task of its own, under its deadline, and hands its end to the settler.
#[derive(Clone)]
pub(super) struct LeaseLayer {
    pub running: Running,
    pub ends: mpsc::UnboundedSender<Settlement>,
    pub backoff: Backoff,
}

impl<S> Layer<S> for LeaseLayer {
    type Service = LeaseService<S>;

    fn layer(&self, inner: S) -> LeaseService<S> {
        LeaseService { inner, layer: self.clone() }
    }
}

#[derive(Clone)]
pub(super) struct LeaseService<S> {
    inner: S,
    layer: LeaseLayer,
}

impl<S> Service<Task<Lease>> for LeaseService<S>
where
    S: Service<Task<Lease>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxDynError> + Send,
    S::Response: Send + 'static,
{
    type Response = ();
    type Error = BoxDynError;
    type Future = BoxFuture<'static, Result<(), BoxDynError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxDynError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, task: Task<Lease>) -> Self::Future {
        let lease = task.args.clone();
        let work = self.inner.call(task).map(|r| r.map(|_| ()).map_err(into_job_error));
        let span = info_span!("job", job.id = %lease.job.id, kind = %lease.job.kind, attempt = lease.job.attempt);
        let run = tokio::spawn(run(self.layer.clone(), lease, work).instrument(span));
        async move {
            let _ = run.await;
            Ok(())
        }
        .boxed()
    }
}

fn into_job_error(error: impl Into<BoxDynError>) -> JobError {
    match error.into().downcast::<JobError>() {
        Ok(e) => *e,
        Err(e) => JobError::transient(e),
    }
}

async fn run(layer: LeaseLayer, lease: Lease, work: impl Future<Output = Result<(), JobError>>) {
    let result = attempt(&layer.running, &lease, work).await;
    let end = decide(&lease, result, layer.backoff);
    let (done, written) = oneshot::channel();
    let job = lease.job.clone();
    if layer.ends.send(Settlement { job, end, done }).is_ok() {
        let _ = written.await;
    }
    layer.running.end(&lease.job);
}

/// Runs the handler under its deadline; one that does not stop when told is dropped after a grace.
async fn attempt(
    running: &Running,
    lease: &Lease,
    work: impl Future<Output = Result<(), JobError>>,
) -> Result<(), JobError> {
    let work = AssertUnwindSafe(work).catch_unwind();
    tokio::pin!(work);
    let deadline = sleep(lease.job.timeout);
    tokio::pin!(deadline);
    let finished = tokio::select! {
        biased;
        done = &mut work => Some(done),
        () = &mut deadline => None,
        _ = lease.stopped() => None,
    };
    let finished = match finished {
        Some(done) => done,
        None => {
            running.stop((lease.job.id, lease.job.attempt), StopReason::TimedOut);
            match timeout(STOP_GRACE, work).await {
                Ok(done) => done,
                Err(_) => return Err(JobError::Stopped),
            }
        }
    };
    finished.unwrap_or_else(|panic| Err(JobError::transient(format!("the handler panicked: {}", panic_text(&panic)))))
}

fn panic_text(panic: &Box<dyn Any + Send>) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// What a remote program said may be long; a row holds the beginning.
fn brief(message: String) -> String {
    const MOST: usize = 4096;
    if message.chars().count() > MOST { message.chars().take(MOST).chain(['…']).collect() } else { message }
}

fn decide(lease: &Lease, result: Result<(), JobError>, backoff: Backoff) -> End {
    let failures = lease.job.attempt;
    match (result, lease.stop_reason()) {
        (Ok(()), _) => End::Succeeded,
        (Err(JobError::Permanent(message)), _) => End::Failed(brief(message)),
        (Err(_), Some(StopReason::Cancelled)) => End::Cancelled,
        (Err(_), Some(StopReason::Shutdown)) => End::HandBack { after: Duration::ZERO },
        (Err(JobError::Later(after)), _) => End::HandBack { after },
        (Err(JobError::Transient { message, retry_after }), _) => {
            let message = brief(message);
            End::Retry { message, after: retry_after.unwrap_or_else(|| backoff.after(failures)) }
        }
        (Err(JobError::Stopped), reason) => {
            let message = match reason {
                Some(StopReason::TimedOut) => {
                    format!("the attempt took longer than its {} s", lease.job.timeout.as_secs())
                }
                _ => "the work was not as this attempt had left it".to_owned(),
            };
            End::Retry { message, after: backoff.after(failures) }
        }
    }
}
