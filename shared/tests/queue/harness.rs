//! A fresh database for each test, jobs with a specified behaviour, and worker processes that end with the test.

use std::{process::Stdio, time::Duration};

use shared::{
    domain::{ClientId, JobId},
    queue::{Enqueued, JobKind, JobRow, NewJob, enqueue, get},
    store::{Db, scratch::Scratch, sql},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::watch,
    time::{Instant, sleep},
};
use uuid::Uuid;

/// The test's database, with the tables of the probe.
pub struct Harness {
    pub db: Db,
    pub url: String,
}

impl Harness {
    pub async fn on(scratch: &Scratch) -> Self {
        for table in [
            "create table probe_specs (subject_id text primary key, behaviour text not null, ms bigint not null)",
            "create table probe_effects (job_id text not null, attempt bigint not null, what text not null,
               pid bigint not null, at bigint not null)",
        ] {
            sql(table).execute(&scratch.db).await.expect("probe tables");
        }
        Self { db: scratch.db.clone(), url: scratch.url.clone() }
    }

    /// A job that behaves as told.
    pub async fn job(&self, behaviour: &'static str, ms: i64) -> NewJob {
        let subject = Uuid::now_v7();
        let spec = sql("insert into probe_specs (subject_id, behaviour, ms) values ($1, $2, $3)");
        spec.text(subject).text(behaviour).int(ms).execute(&self.db).await.expect("spec");
        NewJob::new(JobKind::Noop, subject, ClientId::new())
    }

    pub async fn add(&self, job: &NewJob) -> JobId {
        match self.try_add(job).await {
            Enqueued::New(id) => id,
            Enqueued::Active(id) => panic!("job {id} is active"),
        }
    }

    pub async fn try_add(&self, job: &NewJob) -> Enqueued {
        let mut tx = self.db.begin().await.expect("begin");
        let id = enqueue(&mut tx, &self.db, job).await.expect("enqueue");
        tx.commit().await.expect("commit");
        id
    }

    pub async fn row(&self, id: JobId) -> JobRow {
        get(&self.db, id).await.expect("query").expect("job exists")
    }

    /// Waits until the job is in one of these states.
    pub async fn until(&self, id: JobId, states: &[&str], within: Duration) -> JobRow {
        let deadline = Instant::now() + within;
        loop {
            if let Ok(Some(row)) = get(&self.db, id).await
                && states.contains(&row.state.as_str())
            {
                return row;
            }
            let row = get(&self.db, id).await;
            assert!(Instant::now() < deadline, "job is not {states:?} within {within:?} but {row:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// What happened to a job, as `what#attempt`, in order.
    pub async fn effects(&self, id: JobId) -> Vec<String> {
        sql("select what, attempt from probe_effects where job_id = $1 order by at, attempt")
            .text(id)
            .fetch_all(&self.db, |r| Ok(format!("{}#{}", r.text("what")?, r.int("attempt")?)))
            .await
            .expect("effects")
    }

    pub fn worker(&self) -> WorkerOptions {
        WorkerOptions { url: self.url.clone(), env: Vec::new() }
    }
}

pub struct WorkerOptions {
    url: String,
    env: Vec<(&'static str, String)>,
}

impl WorkerOptions {
    pub fn url(mut self, url: String) -> Self {
        self.url = url;
        self
    }

    pub fn lease_ms(mut self, ms: u64) -> Self {
        self.env.push(("PROBE_LEASE_MS", ms.to_string()));
        self
    }

    pub fn drain_ms(mut self, ms: u64) -> Self {
        self.env.push(("PROBE_DRAIN_MS", ms.to_string()));
        self
    }

    pub fn concurrency(mut self, jobs: usize) -> Self {
        self.env.push(("BYOP_WORKER_CONCURRENCY", jobs.to_string()));
        self
    }

    pub fn plain(mut self) -> Self {
        self.env.push(("PROBE_PLAIN", "1".into()));
        self
    }

    /// Starts the process and waits until it is ready.
    pub async fn start(self) -> WorkerProcess {
        let mut child = Command::new(env!("CARGO_BIN_EXE_queue-probe"))
            .env("BYOP_DATABASE_URL", self.url)
            .env("RUST_LOG", "warn")
            .env("BYOP_LOG_FORMAT", "text")
            .envs(self.env)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the probe starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let (said, output) = watch::channel(Vec::new());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                said.send_modify(|all: &mut Vec<String>| all.push(line));
            }
        });
        let mut worker = WorkerProcess { child, output };
        worker.says("READY", Duration::from_secs(20)).await;
        worker
    }
}

/// A worker process; killed when dropped.
pub struct WorkerProcess {
    child: Child,
    output: watch::Receiver<Vec<String>>,
}

impl WorkerProcess {
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().expect("still runs").to_string();
        let sent = std::process::Command::new("kill").args([signal, &pid]).status().expect("kill");
        assert!(sent.success(), "kill {signal} {pid}");
    }

    /// Waits for a line that begins so, and returns it.
    pub async fn says(&mut self, start: &str, within: Duration) -> String {
        let find = |all: &Vec<String>| all.iter().find(|l| l.starts_with(start)).cloned();
        let found = tokio::time::timeout(within, self.output.wait_for(|all| find(all).is_some())).await;
        let line = found.ok().and_then(|r| r.ok().and_then(|all| find(&all)));
        line.unwrap_or_else(|| panic!("no line {start:?} within {within:?}: {:?}", self.output.borrow()))
    }

    pub fn said(&self) -> Vec<String> {
        self.output.borrow().clone()
    }

    pub async fn exits(&mut self, within: Duration) -> std::process::ExitStatus {
        tokio::time::timeout(within, self.child.wait()).await.expect("the process ends in time").expect("wait")
    }
}
