//! After the switch: the release is watched, what it replaced ends what it had begun and goes.
//!
//! Invariant: what was replaced runs on until the watch is over, so that giving way to it is one more switch; a release
//! that is stopped had its requests ended, or their time was over. Absent: what counts as too many failures
//! ([`steps::error_rate`]).

use std::{collections::BTreeSet, time::Duration};

use shared::{
    crash::around,
    domain::{component::ComponentKind, release::FrozenImage, status::DeploymentStatus as Status},
    failure::Failure,
    ssh::Session,
    store::{
        deployments::{self, Deployment},
        servers::Server,
    },
};
use tokio::time::sleep;

use super::Attempt;
use crate::steps;

const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// So many looks from outside in a row have to fail.
const BAD_LOOKS: u32 = 3;
/// How many releases' images stay on the server: those of the one that runs and of the one before.
const KEPT_RELEASES: usize = 2;

impl Attempt<'_> {
    /// The end of the story for a release that went live in an attempt that died after that.
    pub async fn finish_switch(&self) -> Result<(), Failure> {
        let Some((session, server)) = self.reach_server().await? else { return Ok(()) };
        steps::claim(&session, &self.release, true).await?;
        if self.row().await?.error_code.is_none() {
            self.lead_to(&session, self.release.deployment.id).await?;
        }
        self.finish(session, &server).await
    }

    /// Watches, drains and retires; or gives way to what was there before.
    pub(super) async fn finish(&self, session: Session, server: &Server) -> Result<(), Failure> {
        if let Some(why) = around("watching", self.watch(&session, server)).await? {
            around("condemning", self.condemn(&why)).await?;
            around("giving-way", self.give_way(&session, &why)).await?;
            session.close().await;
            return Ok(());
        }
        around("retiring", self.retire(&session)).await?;
        session.close().await;
        Ok(())
    }

    async fn retire(&self, session: &Session) -> Result<(), Failure> {
        steps::raise_epoch(session, &self.release).await?;
        self.drain(session).await?;
        self.retire_earlier(session).await
    }

    /// Looks at the release until its time is over; why it is not to be trusted, if so.
    async fn watch(&self, session: &Session, server: &Server) -> Result<Option<String>, Failure> {
        let (mut bad, mut first) = (0, true);
        loop {
            // Read anew: the row says since when and until when, also to a later attempt.
            let (d, now) = (self.row().await?, self.db.now_ms());
            if let (Some(_), Some(why)) = (d.watched_until, d.error_message.clone()) {
                return Ok(Some(why));
            }
            let Some((until, _)) = d.watched_until.zip(d.replaced) else {
                self.end_watch().await?;
                return Ok(None);
            };
            if now >= until {
                self.end_watch().await?;
                return Ok(None);
            }
            if std::mem::take(&mut first) {
                self.log.write("watching the release").await;
            }
            if self.release.web().next().is_some() {
                match steps::looks_well(server, &self.release, self.settings).await? {
                    Ok(()) => bad = 0,
                    Err(why) if bad + 1 >= BAD_LOOKS => return Ok(Some(format!("it does not answer outside: {why}"))),
                    Err(_) => bad += 1,
                }
            }
            let since = d.deployed_at.map_or(0, |at| (now - at).max(0));
            let rate = steps::error_rate(session, &self.release, Duration::from_millis(since.unsigned_abs())).await?;
            if rate.is_bad() {
                let why = format!("{} of its first {} requests failed", rate.failures, rate.requests);
                return Ok(Some(why));
            }
            let left = Duration::from_millis((until - now).unsigned_abs());
            sleep(BETWEEN_LOOKS.min(left)).await;
        }
    }

    /// Leads the domains back to what was replaced, and takes this release down. That it is to go is written before, so
    /// that a later attempt does not trust it again halfway.
    async fn give_way(&self, session: &Session, why: &str) -> Result<(), Failure> {
        self.log.write(&format!("going back to the previous release: {why}")).await;
        let Some(previous) = self.replaced().await? else { return self.end_watch().await };
        if self.has_gap()? {
            steps::take_down(session, &self.release).await?;
            steps::revive(session, &self.release, &previous).await?;
        }
        self.lead_to(session, previous.id).await?;
        self.give_back(why).await?;
        steps::take_down(session, &self.release).await?;
        steps::forget(session, &self.release).await
    }

    /// Lets what the replaced releases serve end.
    async fn drain(&self, session: &Session) -> Result<(), Failure> {
        let Some(previous) = self.row().await?.replaced else { return Ok(()) };
        let Some(previous) = deployments::load_unfenced(self.db, previous).await? else { return Ok(()) };
        let plan = previous.plan()?;
        let web: Vec<_> = plan.of_kind(ComponentKind::Web).map(|frozen| &frozen.component).collect();
        let ports: Vec<String> = web.iter().filter_map(|c| Some(format!("{}={}", c.name, c.port?))).collect();
        let seconds = web.iter().map(|c| c.drain_s).max().unwrap_or_default();
        let left = steps::drain(session, &self.release, &ports, seconds).await?;
        if left > 0 {
            self.log
                .write(&format!("{left} connections to the previous release are still open after {seconds} s"))
                .await;
        }
        Ok(())
    }

    /// Before the serving release goes: an earlier one that its job had no time to take down would serve again.
    pub(super) async fn leave_nothing_behind(&self, session: &Session) -> Result<(), Failure> {
        if self.release.deployment.status == Status::Live { self.retire_earlier(session).await } else { Ok(()) }
    }

    async fn retire_earlier(&self, session: &Session) -> Result<(), Failure> {
        steps::retire_others(session, &self.release, &self.log).await?;
        let kept = self.kept_images().await?;
        steps::prune(session, &self.release, &kept).await
    }

    /// The images, with their registries, that stay on the server: of what runs and of what could be gone back to.
    pub(super) async fn kept_images(&self) -> Result<BTreeSet<String>, Failure> {
        let d = &self.release.deployment;
        let known = deployments::on_server(self.db, d.server, d.app).await?;
        let stays = |k: &&Deployment| {
            let gone = k.id == d.id && d.desired == deployments::Desired::Deleted;
            !gone && (k.id == d.id || k.deployed_at.is_some()) && k.sequence <= d.sequence
        };
        let mut kept = BTreeSet::new();
        for deployment in known.iter().filter(stays).take(KEPT_RELEASES) {
            let Some(whole) = deployments::load_unfenced(self.db, deployment.id).await? else { continue };
            kept.extend(whole.plan()?.components.iter().filter_map(|frozen| match &frozen.image {
                FrozenImage::Built { repository, digest } => {
                    Some(format!("{}/{repository}@{digest}", self.settings.registry))
                }
                FrozenImage::Public(image) => Some(image.to_string()),
                FrozenImage::Managed => None,
            }));
        }
        Ok(kept)
    }
}
