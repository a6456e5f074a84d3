//! The local environment: its settings, and builds in it that leave nothing behind.

use std::{collections::HashMap, sync::Arc, time::Duration};

use shared::{
    docker::{Engine, EngineUrl},
    domain::{AppId, BuildId, ClientId, component::BuildPart},
    worksource::{BuildFailure, BuildHandler, BuildOrder, BuildOutcome, BuildVariable, FailureCode},
};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};
use worker_build::{
    Builder,
    config::{BuildConfig, BuildLimits, EngineAccess, Registry},
    prepare_work_dir,
};

use crate::{forge::Forge, report::Report};

pub const BASE: &str = "FROM debian:bookworm-slim\nEXPOSE 8080\nCMD [\"sleep\", \"infinity\"]\n";

pub fn dockerfile(steps: &str) -> String {
    format!("{BASE}{steps}\n")
}

/// One build at a time: the machine is small, and the tests look at what runs on it.
static ONE: Mutex<()> = Mutex::const_new(());

pub struct Environment {
    pub config: BuildConfig,
    pub engine: Engine,
    pub forge: Forge,
    /// What the environment's file says.
    pub settings: HashMap<String, String>,
    clients: Vec<ClientId>,
    _work: TempDir,
    _alone: MutexGuard<'static, ()>,
}

/// The environment, or `None` after saying why a test is skipped.
pub async fn environment(test: &str) -> Option<Environment> {
    let Some(file) = shared::config::optional("BYOP_TEST_ENV_FILE") else {
        eprintln!("SKIPPED {test}: BYOP_TEST_ENV_FILE is not set");
        return None;
    };
    let alone = ONE.lock().await;
    let settings = read(&file);
    let url: EngineUrl = settings["BYOP_BUILD_ENGINE"].parse().expect("engine address");
    let work = TempDir::new().expect("work directory");
    let work_dir = work.path().join("builds");
    prepare_work_dir(&work_dir).expect("work directory");
    // There is no pull mirror where a public hub serves, but always a registry; what it has not, the hub has.
    let mirror = settings["BYOP_TEST_REGISTRY"].clone();
    let config = BuildConfig {
        engine: EngineAccess { url: url.clone(), certs: None, ssh_key: None, ssh_host_key: None },
        image: shared::config::optional("BYOP_BUILD_IMAGE").unwrap_or_else(|| "byop/builder:1".into()),
        limits: BuildLimits {
            memory_bytes: 1 << 30,
            milli_cpus: 2000,
            pids: 1024,
            time: Duration::from_secs(240),
            disk_bytes: 8 << 30,
            free_bytes: 0,
            source_bytes: 64 << 20,
        },
        // It takes images without a login.
        registry: Registry {
            host: mirror.trim_start_matches("http://").to_owned(),
            ca_file: None,
            mirror: Some(mirror),
            token_service: None,
        },
        bases: shared::generate::Bases::default(),
        concurrency: 1,
        log_bytes: 1 << 20,
        work_dir,
        allow_cidrs: Vec::new(),
        deny_cidrs: Vec::new(),
        deny_hosts: Vec::new(),
        dev_mode: true,
    };
    let engine = Engine::connect(&url, None).await.expect("the environment's engine");
    let forge = Forge::start().await;
    Some(Environment { config, engine, forge, settings, clients: Vec::new(), _work: work, _alone: alone })
}

fn read(file: &str) -> HashMap<String, String> {
    let text = std::fs::read_to_string(file).expect("the environment's settings");
    let line = |l: &str| {
        let (name, value) = l.strip_prefix("export ")?.split_once('=')?;
        Some((name.to_owned(), value.trim_matches(['"', '\'']).to_owned()))
    };
    text.lines().filter_map(line).collect()
}

impl Environment {
    pub fn client(&mut self) -> ClientId {
        let client = ClientId::new();
        self.clients.push(client);
        client
    }

    /// An order to build `main` of a repository.
    pub fn order(&mut self, client: ClientId, repository: &str) -> BuildOrder {
        let app = AppId::new();
        BuildOrder {
            build: BuildId::new(),
            client,
            app,
            slug: "app".into(),
            attempt: 1,
            git_url: self.forge.url(repository),
            git_ref: "main".into(),
            commit_sha: None,
            submodules: false,
            parts: BuildPart::only_app(),
            base_directory: String::new(),
            dockerfile_path: None,
            always_generate: false,
            port: Some(8080),
            health_path: None,
            deploy_key: None,
            host_keys: Vec::new(),
            variables: Vec::new(),
            variables_fingerprint: String::new(),
            repository: format!("test/{}", app.0.as_simple()),
            requested_at: 0,
            preview: false,
        }
    }

    pub async fn build(&self, order: &BuildOrder) -> (Result<BuildOutcome, BuildFailure>, Arc<Report>) {
        let report = Arc::new(Report::default());
        (self.build_with(order, &report).await, report)
    }

    pub async fn build_with(&self, order: &BuildOrder, report: &Arc<Report>) -> Result<BuildOutcome, BuildFailure> {
        let made = Builder::new(self.config.clone()).build(order.clone(), report.clone()).await?;
        Ok(made.into_iter().next().expect("an image"))
    }

    /// A container that makes this build.
    pub async fn containers_of(&self, order: &BuildOrder) -> usize {
        let label = format!("byop.build={}", order.build);
        self.engine.list_containers(&[&label]).await.expect("list").len()
    }

    /// Removes the caches of the test's clients, and checks that nothing else is left.
    pub async fn finish(self) {
        for client in &self.clients {
            let label = format!("byop.client={client}");
            assert!(self.engine.list_containers(&[&label]).await.expect("list").is_empty(), "a container is left");
            for cache in self.engine.list_volumes(&[&label]).await.expect("caches") {
                assert!(cache.starts_with(&format!("byop-cache-{}-", client.0.as_simple())), "{cache}");
                self.engine.remove_volume(&cache).await.expect("cache removed");
            }
            let unlabelled = self.engine.list_volumes(&[]).await.expect("volumes");
            assert!(!unlabelled.iter().any(|v| v.contains(&client.0.as_simple().to_string())), "a cache is left");
        }
        let left = std::fs::read_dir(&self.config.work_dir).expect("work directory").count();
        assert_eq!(left, 0, "sources are left");
    }
}

pub fn secret(name: &str, value: &str) -> BuildVariable {
    BuildVariable { name: name.into(), value: value.to_owned().into(), secret: true }
}

pub fn code<T>(result: &Result<T, BuildFailure>) -> Option<FailureCode> {
    match result {
        Err(BuildFailure::Failed { code, .. }) => Some(*code),
        _ => None,
    }
}
