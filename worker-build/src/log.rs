//! A build's log on its way out: bytes in, clean lines in small batches to the report, the last lines kept.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use shared::{
    redact::{LogFilter, Redactor},
    worksource::BuildReport,
};

/// Lines wait for each other no longer than this.
pub const FLUSH: Duration = Duration::from_millis(200);
const BATCH: usize = 200;
/// As many lines as an error message can need.
const KEEP: usize = 60;

pub struct BuildLog {
    report: Arc<dyn BuildReport>,
    redactor: Redactor,
    filter: LogFilter,
    waiting: Vec<String>,
    flushed: Instant,
    last: VecDeque<String>,
}

impl BuildLog {
    pub fn new(report: Arc<dyn BuildReport>, redactor: Redactor) -> Self {
        let filter = LogFilter::new(redactor.clone());
        Self { report, redactor, filter, waiting: Vec::new(), flushed: Instant::now(), last: VecDeque::new() }
    }

    /// Takes a piece of a command's output.
    pub async fn bytes(&mut self, bytes: &[u8]) {
        let lines = self.filter.push(bytes);
        self.take(lines).await;
    }

    /// The end of a command's output: what it left as an unfinished line is a line.
    pub async fn end(&mut self) {
        let lines = self.filter.finish();
        self.take(lines).await;
        self.flush().await;
    }

    /// A line of our own.
    pub async fn say(&mut self, text: impl AsRef<str>) {
        let line = self.redactor.text(text.as_ref());
        self.take(vec![line]).await;
        self.flush().await;
    }

    /// Gives waiting lines to the report, if their time has come.
    pub async fn tick(&mut self) {
        if self.flushed.elapsed() >= FLUSH {
            self.flush().await;
        }
    }

    /// What comes now has nothing to do with the lines before.
    pub fn forget_last(&mut self) {
        self.last.clear();
    }

    /// The last lines of the log, oldest first.
    pub fn last(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }

    /// A text without secrets.
    pub fn redacted(&self, text: &str) -> String {
        self.redactor.text(text)
    }

    async fn take(&mut self, lines: Vec<String>) {
        for line in lines {
            if self.last.len() == KEEP {
                self.last.pop_front();
            }
            self.last.push_back(line.clone());
            self.waiting.push(line);
        }
        if self.waiting.len() >= BATCH {
            self.flush().await;
        }
        self.tick().await;
    }

    async fn flush(&mut self) {
        self.flushed = Instant::now();
        if !self.waiting.is_empty() {
            self.report.log(std::mem::take(&mut self.waiting)).await;
        }
    }
}
