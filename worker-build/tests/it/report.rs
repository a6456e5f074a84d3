//! A report that keeps what it is told, and can ask the build to stop.

use std::{sync::Mutex, time::Duration};

use async_trait::async_trait;
use shared::worksource::{BuildFailure, BuildPlan, BuildReport, PushCredentials, Stage, StopReason};
use tokio::sync::watch;

pub struct Report {
    pub stages: Mutex<Vec<Stage>>,
    pub commit: Mutex<Option<String>>,
    pub found: Mutex<Option<String>>,
    pub plan: Mutex<Option<BuildPlan>>,
    lines: watch::Sender<Vec<String>>,
    stop: watch::Sender<Option<StopReason>>,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            stages: Mutex::default(),
            commit: Mutex::default(),
            found: Mutex::default(),
            plan: Mutex::default(),
            lines: watch::channel(Vec::new()).0,
            stop: watch::channel(None).0,
        }
    }
}

impl Report {
    /// What was found in the source.
    pub fn findings(&self) -> serde_json::Value {
        let found = self.found.lock().expect("lock").clone().expect("a report");
        serde_json::from_str(&found).expect("JSON")
    }

    pub fn log(&self) -> String {
        self.lines.borrow().join("\n")
    }

    pub fn stop(&self, why: StopReason) {
        self.stop.send_replace(Some(why));
    }

    /// Waits until a line with this text was logged.
    pub async fn logged(&self, text: &str) {
        let mut lines = self.lines.subscribe();
        let seen = lines.wait_for(|l| l.iter().any(|line| line.contains(text)));
        tokio::time::timeout(Duration::from_secs(120), seen).await.expect("logged in time").expect("a log");
    }
}

#[async_trait]
impl BuildReport for Report {
    async fn stage(&self, stage: Stage) -> Result<(), BuildFailure> {
        self.stages.lock().expect("lock").push(stage);
        Ok(())
    }

    async fn commit(&self, sha: &str) -> Result<(), BuildFailure> {
        *self.commit.lock().expect("lock") = Some(sha.to_owned());
        Ok(())
    }

    async fn found(&self, report: String) -> Result<(), BuildFailure> {
        *self.found.lock().expect("lock") = Some(report);
        Ok(())
    }

    async fn plan(&self, plan: BuildPlan) -> Result<(), BuildFailure> {
        *self.plan.lock().expect("lock") = Some(plan);
        Ok(())
    }

    async fn log(&self, lines: Vec<String>) {
        self.lines.send_modify(|all| all.extend(lines));
    }

    async fn push_credentials(&self) -> Result<PushCredentials, BuildFailure> {
        Ok(PushCredentials { user: "nobody".into(), password: "nothing".to_owned().into() })
    }

    async fn stopped(&self) -> StopReason {
        let mut stop = self.stop.subscribe();
        match stop.wait_for(Option::is_some).await.map(|s| *s) {
            Ok(Some(why)) => why,
            _ => std::future::pending().await,
        }
    }
}
