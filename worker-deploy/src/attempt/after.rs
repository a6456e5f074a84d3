//! After the switch: the release is watched, what it replaced ends what it had begun and goes.
//!
//! Invariant: what was replaced runs on until the watch is over, so that giving way to it is one more switch; a release
//! that is stopped had its requests ended, or their time was over. Absent: what counts as too many failures
//! ([`steps::error_rate`]).

use std::{collections::BTreeSet, time::Duration};

use shared::{
    crash::around,
    domain::{component::ComponentKind, status::DeploymentStatus as Status},
    failure::Failure,
    ssh::Session,
    store::{
        deployments::{self, Desired},
        servers::Server,
    },
};
use tokio::time::sleep;

use super::Attempt;
use crate::{release, steps};

const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// So many looks from outside in a row have to fail.
const BAD_LOOKS: u32 = 3;
/// Of how many releases that served before the images stay on the server: going back to them needs no registry.
const KEPT_EARLIER: usize = 1;

impl Attempt<'_> {
    /// The end of the story for a release that went live in an attempt that died after that.
    pub async fn finish_switch(&self) -> Result<(), Failure> {
        let Some((session, server)) = self.reach_server().await? else { return Ok(()) };
        steps::claim(&session, &self.release, true).await?;
        if self.row().await?.error_code.is_none() {
            steps::lead_here(&session, &self.release).await?;
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

    /// Looks at the release until its time is over, at least once and not while it is ill; why it is not to be trusted, if
    /// so.
    async fn watch(&self, session: &Session, server: &Server) -> Result<Option<String>, Failure> {
        let (mut bad, mut first) = (0, true);
        loop {
            // Read anew: the row says since when and until when, also to a later attempt.
            let d = self.row().await?;
            if let (Some(_), Some(why)) = (d.watched_until, d.error_message.clone()) {
                return Ok(Some(why));
            }
            let Some((until, _)) = d.watched_until.zip(d.replaced) else { break };
            if std::mem::take(&mut first) {
                self.log.write("watching the release").await;
            }
            match self.ill(session, server, d.deployed_at).await? {
                None => bad = 0,
                Some(why) if bad + 1 >= BAD_LOOKS => return Ok(Some(why)),
                Some(_) => bad += 1,
            }
            let left = until - self.db.now_ms();
            match (bad, u64::try_from(left)) {
                (0, Err(_) | Ok(0)) => break,
                (0, Ok(left)) => sleep(BETWEEN_LOOKS.min(Duration::from_millis(left))).await,
                _ => sleep(BETWEEN_LOOKS).await,
            }
        }
        self.end_watch().await?;
        Ok(None)
    }

    /// What is wrong with the release at the moment: it does not answer outside, or answers too many requests with failures.
    async fn ill(&self, session: &Session, server: &Server, live_at: Option<i64>) -> Result<Option<String>, Failure> {
        if self.release.web().next().is_some()
            && let Err(why) = steps::looks_well(server, &self.release, self.settings).await?
        {
            return Ok(Some(format!("it does not answer outside: {why}")));
        }
        let since = live_at.map_or(0, |at| (self.db.now_ms() - at).max(0));
        let rate = steps::error_rate(session, &self.release, Duration::from_millis(since.unsigned_abs())).await?;
        Ok(rate.is_bad().then(|| format!("{} of its first {} requests failed", rate.failures, rate.requests)))
    }

    /// Leads the domains back to what was replaced, and takes this release down. That it is to go is written before, so
    /// that a later attempt does not trust it again halfway; that it is gone, after.
    async fn give_way(&self, session: &Session, why: &str) -> Result<(), Failure> {
        self.log.write(&format!("going back to the previous release: {why}")).await;
        let Some(previous) = self.replaced().await? else { return self.end_watch().await };
        if self.has_gap()? {
            steps::take_down(session, &self.release).await?;
            steps::revive(session, &self.release, &previous).await?;
        }
        steps::lead_away(session, &self.release, Some(&previous)).await?;
        steps::take_down(session, &self.release).await?;
        steps::forget(session, &self.release).await?;
        self.give_back(why).await
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

    /// The images that stay on the server: of what runs, of what is to run, and of what was live last before.
    pub(super) async fn kept_images(&self) -> Result<BTreeSet<String>, Failure> {
        let d = &self.release.deployment;
        let known = deployments::on_server(self.db, d.server, d.app).await?;
        let mut earlier = 0;
        let mut kept = BTreeSet::new();
        for other in known.iter().filter(|k| k.desired != Desired::Deleted) {
            if other.status == Status::Superseded {
                earlier += 1;
            }
            if other.status.is_there() || (other.status == Status::Superseded && earlier <= KEPT_EARLIER) {
                let Some(whole) = deployments::load_unfenced(self.db, other.id).await? else { continue };
                kept.extend(release::images(self.settings, &whole.plan()?)?);
            }
        }
        Ok(kept)
    }
}
