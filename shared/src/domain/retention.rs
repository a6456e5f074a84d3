//! Which images of an app may leave the registry.
//!
//! Invariant: an image is named by its digest, and what one build or deployment needs stays although others that have the
//! same digest do not. Absent: reading what is known, and removing anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{BuildId, ImageDigest, ServerId, status::DeploymentStatus};

/// Releases of an app on a server that ended badly and may be tried again: only while nothing newer came, so a few are
/// enough.
const TRIED_AGAIN: usize = 3;

/// How much stays beside what is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Superseded releases of an app on a server that can be gone back to, the newest.
    pub releases: usize,
    /// Successful builds of an app, the newest.
    pub builds: usize,
    /// No younger image goes.
    pub age: Duration,
}

/// A successful build.
#[derive(Clone, Debug)]
pub struct Made {
    pub build: BuildId,
    /// When it ended (unix milliseconds).
    pub at: i64,
    pub images: BTreeSet<ImageDigest>,
}

/// A deployment of the app.
#[derive(Clone, Debug)]
pub struct Release {
    pub server: ServerId,
    pub sequence: i64,
    pub status: DeploymentStatus,
    /// Those of its frozen plan that builds made.
    pub images: BTreeSet<ImageDigest>,
}

/// What is known of an app's images at one moment.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub builds: Vec<Made>,
    pub releases: Vec<Release>,
    /// The build whose images a deployment gets that names none.
    pub current: Option<BuildId>,
    /// Nobody deploys or goes back to anything of a deleted app.
    pub deleted: bool,
}

impl Known {
    /// The images that nobody needs at `now` (unix milliseconds).
    pub fn unneeded(&self, rule: &Rule, now: i64) -> BTreeSet<ImageDigest> {
        let mut unneeded: BTreeSet<_> = self.builds.iter().flat_map(|made| made.images.iter().cloned()).collect();
        let needed = self.of_builds(rule, now).chain(self.of_releases(rule));
        needed.for_each(|image| {
            unneeded.remove(image);
        });
        unneeded
    }

    fn of_builds<'a>(&'a self, rule: &Rule, now: i64) -> impl Iterator<Item = &'a ImageDigest> {
        let age = i64::try_from(rule.age.as_millis()).unwrap_or(i64::MAX);
        let young = move |made: &Made| now.saturating_sub(made.at) < age;
        let newest: BTreeSet<BuildId> = self.builds.iter().map(|made| made.build).collect();
        let kept = if self.deleted { 0 } else { rule.builds };
        let newest: BTreeSet<BuildId> = newest.into_iter().rev().take(kept).collect();
        let current = self.current.filter(|_| !self.deleted);
        let stays = move |made: &&Made| young(made) || newest.contains(&made.build) || current == Some(made.build);
        self.builds.iter().filter(stays).flat_map(|made| &made.images)
    }

    fn of_releases(&self, rule: &Rule) -> impl Iterator<Item = &ImageDigest> {
        let mut order: Vec<&Release> = self.releases.iter().collect();
        order.sort_by_key(|release| std::cmp::Reverse(release.sequence));
        let (mut earlier, mut ended) = (BTreeMap::new(), BTreeMap::new());
        let mut is_among = |of: &Release| match of.status {
            status if status.is_there() => true,
            DeploymentStatus::Superseded => count(&mut earlier, of.server) <= rule.releases && !self.deleted,
            DeploymentStatus::Failed | DeploymentStatus::RolledBack => {
                count(&mut ended, of.server) <= TRIED_AGAIN && !self.deleted
            }
            _ => false,
        };
        order.retain(|release| is_among(release));
        order.into_iter().flat_map(|release| &release.images)
    }
}

fn count(seen: &mut BTreeMap<ServerId, usize>, server: ServerId) -> usize {
    let n = seen.entry(server).or_default();
    *n += 1;
    *n
}

#[cfg(test)]
mod tests {
    use DeploymentStatus as S;

    use super::*;

    const DAY: i64 = 86_400_000;
    const NOW: i64 = 100 * DAY;

    fn digest(n: u8) -> ImageDigest {
        format!("sha256:{}", format!("{n:02x}").repeat(32)).parse().expect("a digest")
    }

    fn rule() -> Rule {
        Rule { releases: 2, builds: 2, age: Duration::from_secs(86_400) }
    }

    /// Builds with one image each, numbered from 1, the first being the oldest; all are old.
    fn builds(n: u8) -> Known {
        let made = |n| Made { build: BuildId::new(), at: i64::from(n), images: BTreeSet::from([digest(n)]) };
        Known { builds: (1..=n).map(made).collect(), ..Known::default() }
    }

    fn release(server: ServerId, sequence: i64, status: S, image: u8) -> Release {
        Release { server, sequence, status, images: BTreeSet::from([digest(image)]) }
    }

    fn gone(known: &Known) -> Vec<u8> {
        let unneeded = known.unneeded(&rule(), NOW);
        (1..=u8::MAX).filter(|n| unneeded.contains(&digest(*n))).collect()
    }

    #[test]
    fn the_newest_builds_stay_and_the_current_one() {
        let mut known = builds(5);
        assert_eq!(gone(&known), [1, 2, 3]);
        known.current = Some(known.builds[1].build);
        assert_eq!(gone(&known), [1, 3]);
        known.deleted = true;
        assert_eq!(gone(&known), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn what_is_younger_than_a_day_stays() {
        let mut known = builds(5);
        known.builds[0].at = NOW - DAY + 1;
        known.builds[1].at = NOW - DAY;
        assert_eq!(gone(&known), [2, 3]);
        // A clock that was set back makes nothing old.
        known.builds[1].at = NOW + DAY;
        assert_eq!(gone(&known), [3]);
    }

    /// One deployment of the oldest image, in every state.
    #[test]
    fn every_state_of_a_deployment() {
        for status in S::ALL {
            let mut known = builds(3);
            known.releases = vec![release(ServerId::new(), 1, *status, 1)];
            let goes = matches!(status, S::Deleted | S::Cancelled);
            assert_eq!(gone(&known).is_empty(), !goes, "{status}");
            known.deleted = true;
            assert_eq!(!gone(&known).contains(&1), status.is_there(), "{status}, of a deleted app");
        }
    }

    #[test]
    fn earlier_releases_are_counted_for_each_server() {
        let (a, b) = (ServerId::new(), ServerId::new());
        let mut known = builds(9);
        known.releases = vec![
            release(a, 1, S::Superseded, 1),
            release(a, 3, S::Superseded, 3),
            release(a, 2, S::Superseded, 2),
            release(a, 4, S::Failed, 4),
            release(a, 5, S::Live, 5),
            release(b, 1, S::Superseded, 6),
        ];
        assert_eq!(gone(&known), [1, 7]);
    }

    #[test]
    fn what_ended_badly_stays_while_it_is_among_the_newest() {
        let a = ServerId::new();
        let mut known = builds(9);
        known.releases = (1..=5).map(|n| release(a, n, S::RolledBack, n as u8)).collect();
        known.releases[4].status = S::Failed;
        assert_eq!(gone(&known), [1, 2, 6, 7]);
    }

    #[test]
    fn one_digest_of_two_builds_stays_while_one_of_them_needs_it() {
        let mut known = builds(4);
        known.builds[3].images.insert(digest(1));
        assert_eq!(gone(&known), [2]);
        known.builds[1].images.insert(digest(9));
        assert_eq!(gone(&known), [2, 9]);
    }

    #[test]
    fn of_a_release_all_images_stay() {
        let mut known = builds(4);
        let mut all = release(ServerId::new(), 1, S::Stopped, 1);
        all.images.insert(digest(2));
        known.releases = vec![all];
        assert!(gone(&known).is_empty());
        assert!(Known::default().unneeded(&rule(), NOW).is_empty());
    }
}
