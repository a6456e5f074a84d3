//! Worker processes, and their deaths.

use std::{process::Stdio, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::watch,
    time::sleep,
};

use crate::place::Place;

/// Between two kills.
const LIVES_MS: std::ops::Range<u64> = 500..3000;

/// How worker processes are started.
#[derive(Clone)]
pub struct Probes {
    environment: Vec<(&'static str, String)>,
}

impl Probes {
    pub fn of(place: &Place, haste: u32, lease: Duration, concurrency: usize) -> Self {
        let mut environment = place.environment();
        environment.push(("PROBE_HASTE", haste.to_string()));
        environment.push(("PROBE_LEASE_MS", lease.as_millis().to_string()));
        environment.push(("BYOP_WORKER_CONCURRENCY", concurrency.to_string()));
        Self { environment }
    }

    /// Starts one and waits until it works; it is killed when dropped.
    pub async fn start(&self) -> Child {
        let mut child = Command::new(env!("CARGO_BIN_EXE_rent-probe"))
            .env_clear()
            .envs(self.environment.clone())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the probe starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let said = tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await;
        assert!(matches!(said, Ok(Ok(Some(line))) if line == "READY"), "the probe is not ready");
        child
    }

    pub async fn several(&self, count: usize) -> Vec<Child> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(self.start().await);
        }
        all
    }

    /// Kills one after another, each replaced at once, until `stop`; how often.
    pub async fn killed_until(&self, stop: watch::Receiver<bool>, workers: &mut [Child], seed: u64) -> usize {
        let (mut random, mut kills) = (StdRng::seed_from_u64(seed), 0);
        while !*stop.borrow() {
            sleep(Duration::from_millis(random.gen_range(LIVES_MS))).await;
            let one = random.gen_range(0..workers.len());
            workers[one].kill().await.expect("killed");
            kills += 1;
            workers[one] = self.start().await;
        }
        kills
    }
}
