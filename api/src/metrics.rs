//! Numbers for Prometheus: requests here, the state of the queues in the database.
//!
//! Invariant: labels come from small fixed sets, never from a request's path or a client.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use poem::http::{Method, StatusCode};
use shared::{queue::QueueCounts, store::Db};

/// Upper bounds of the buckets of request times, in seconds.
const BOUNDS: [f64; 8] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

#[derive(Default)]
pub struct Metrics {
    requests: Mutex<Requests>,
}

#[derive(Default)]
struct Requests {
    by_outcome: BTreeMap<(&'static str, u16), u64>,
    buckets: [u64; BOUNDS.len()],
    count: u64,
    seconds: f64,
}

impl Metrics {
    pub fn record(&self, method: &Method, status: StatusCode, took: Duration) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.by_outcome.entry((label(method), status.as_u16())).or_default() += 1;
        let seconds = took.as_secs_f64();
        for (bucket, bound) in requests.buckets.iter_mut().zip(BOUNDS) {
            *bucket += u64::from(seconds <= bound);
        }
        requests.count += 1;
        requests.seconds += seconds;
    }

    /// Everything in Prometheus' text format.
    pub async fn render(&self, db: &Db) -> Result<String, shared::store::DbError> {
        let mut out = String::new();
        self.write_requests(&mut out);
        write_queues(&mut out, &shared::queue::counts(db).await?);
        Ok(out)
    }

    fn write_requests(&self, out: &mut String) {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        out.push_str("# TYPE byop_http_requests_total counter\n");
        for ((method, status), count) in &requests.by_outcome {
            let _ = writeln!(out, "byop_http_requests_total{{method=\"{method}\",status=\"{status}\"}} {count}");
        }
        out.push_str("# TYPE byop_http_request_seconds histogram\n");
        for (bound, count) in BOUNDS.iter().zip(requests.buckets) {
            let _ = writeln!(out, "byop_http_request_seconds_bucket{{le=\"{bound}\"}} {count}");
        }
        let _ = writeln!(out, "byop_http_request_seconds_bucket{{le=\"+Inf\"}} {}", requests.count);
        let _ = writeln!(out, "byop_http_request_seconds_sum {}", requests.seconds);
        let _ = writeln!(out, "byop_http_request_seconds_count {}", requests.count);
    }
}

fn write_queues(out: &mut String, counts: &[QueueCounts]) {
    out.push_str("# TYPE byop_jobs gauge\n");
    for row in counts {
        let _ = writeln!(out, "byop_jobs{{kind=\"{}\",state=\"{}\"}} {}", row.kind, row.state, row.jobs);
    }
}

fn label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        _ => "other",
    }
}
