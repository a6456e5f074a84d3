//! The story of a build.

use std::{ops::RangeInclusive, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use secrecy::ExposeSecret;
use shared::{
    domain::BuildId,
    redact::Redactor,
    worksource::{BuildFailure, BuildHandler, BuildOrder, BuildOutcome, BuildReport, FailureCode, Stage},
};
use tracing::{error, info, warn};

use crate::{
    config::BuildConfig,
    engine,
    log::BuildLog,
    steps::{
        build,
        build::Image,
        builder::BuildEngine,
        fetch, generate,
        generate::Made,
        parts::{Part, parts},
        push, work_dir,
        work_dir::WorkDir,
    },
};

/// Makes builds with the engine of its settings.
pub struct Builder {
    pub config: BuildConfig,
}

impl Builder {
    pub fn new(config: BuildConfig) -> Self {
        Self { config }
    }

    /// Where this attempt keeps its files.
    pub fn directory(&self, order: &BuildOrder) -> PathBuf {
        self.config.work_dir.join(format!("{}-{}", order.build.0.as_simple(), order.attempt))
    }

    /// Says so when the machine that builds cannot: each build would only tell its client that it is not available.
    pub async fn look_at_engine(&self) {
        let Ok(connection) = engine::connect(&self.config).await else { return };
        match connection.engine.has_image(&self.config.image).await {
            Ok(true) => {}
            Ok(false) => error!(image = self.config.image, "the build engine does not have the image BYOP_BUILD_IMAGE"),
            Err(e) => warn!(error = %e, "the build engine does not answer"),
        }
    }

    async fn steps(
        &self,
        order: &BuildOrder,
        report: &Arc<dyn BuildReport>,
    ) -> Result<Vec<BuildOutcome>, BuildFailure> {
        let mut log = BuildLog::new(report.clone(), redactor(order));
        report.stage(Stage::Fetching).await?;
        work_dir::remove_earlier(&self.config.work_dir, order.build, order.attempt);
        let dir = WorkDir::create(self.directory(order))?;
        let source = fetch::fetch(&self.config, order, &dir, &mut log).await?;
        report.commit(&source.commit).await?;
        let parts = parts(order);
        let recipes = generate::generate(&self.config.bases, (&parts, &source), report.as_ref(), &mut log).await?;
        if let Some(first) = recipes.first() {
            report.plan(first.plan.clone()).await?;
        }
        if order.preview {
            return Ok(Vec::new());
        }

        report.stage(Stage::Building).await?;
        let connection = engine::connect(&self.config).await?;
        let builder = BuildEngine::start(&connection.engine, &self.config, order).await?;
        build::prepare(&builder, &self.config, order, &source).await?;
        let mut images = Vec::new();
        for (part, recipe) in parts.iter().zip(&recipes) {
            let image = build::build(&builder, &self.config, part, (&source, recipe), &mut log).await;
            images.push(image.map_err(|e| part.failure(e))?);
        }

        // Only now: the way to the registry is open from the first push on, and no stranger's code may run then.
        report.stage(Stage::Pushing).await?;
        let mut outcomes = Vec::new();
        for ((part, recipe), image) in parts.iter().zip(&recipes).zip(&images) {
            let digest = push::push(&builder, image, report.as_ref(), &mut log).await;
            outcomes.push(outcome(part, recipe, image, digest.map_err(|e| part.failure(e))?));
        }
        Ok(outcomes)
    }

    /// Removes the containers of these attempts. What cannot be removed now is a leftover, and those are looked for again
    /// and again.
    async fn clean_up(&self, build: BuildId, attempts: RangeInclusive<i64>) {
        let Ok(connection) = engine::connect(&self.config).await else { return };
        if let Err(e) = BuildEngine::remove_attempts(&connection.engine, build, attempts).await {
            warn!(error = %e, build.id = %build, "a build's container cannot be removed yet");
        }
    }
}

#[async_trait]
impl BuildHandler for Builder {
    async fn build(&self, order: BuildOrder, report: Arc<dyn BuildReport>) -> Result<Vec<BuildOutcome>, BuildFailure> {
        info!(build.id = %order.build, app.id = %order.app, attempt = order.attempt, "build {} begins", order.build);
        let limit = self.config.limits.time;
        let result = tokio::select! {
            biased;
            why = report.stopped() => Err(BuildFailure::Stopped(why)),
            done = tokio::time::timeout(limit, self.steps(&order, &report)) => done.unwrap_or_else(|_| {
                Err(BuildFailure::permanent(
                    FailureCode::Timeout,
                    format!("The build took longer than {} seconds. Make it do less, for example by copying less into \
                             the image or by using build caches.", limit.as_secs()),
                ))
            }),
        };
        self.clean_up(order.build, order.attempt..=order.attempt).await;
        match &result {
            Ok(_) if order.preview => info!(build.id = %order.build, "preview {} succeeded", order.build),
            Ok(images) => {
                let digests = images.iter().map(|image| image.digest.as_str()).collect::<Vec<_>>().join(" ");
                info!(build.id = %order.build, digests, "build {} succeeded", order.build);
            }
            Err(e) => info!(build.id = %order.build, "build {} has no image: {}", order.build, code(e)),
        }
        result
    }

    async fn abandoned(&self, build: BuildId, attempt: i64) {
        self.clean_up(build, 0..=attempt).await;
    }
}

fn outcome(part: &Part, recipe: &Made, image: &Image, digest: String) -> BuildOutcome {
    BuildOutcome {
        part: part.what.clone(),
        repository: part.order.repository.clone(),
        tag: image.tag.clone(),
        digest,
        stack: recipe.plan.stack.clone(),
        port: recipe.plan.port,
        health_path: recipe.plan.health_path.clone(),
    }
}

fn code(failure: &BuildFailure) -> String {
    match failure {
        BuildFailure::Failed { code, .. } => code.to_string(),
        BuildFailure::Stopped(why) => format!("{why:?}"),
    }
}

fn redactor(order: &BuildOrder) -> Redactor {
    let variables = order.variables.iter().filter(|v| v.secret).map(|v| v.value.expose_secret());
    Redactor::new(variables.chain(order.deploy_key.iter().map(|k| k.expose_secret())))
}
