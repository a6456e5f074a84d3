//! Which backups of a policy have stayed long enough.
//!
//! Invariant: the newest good backup always stays. Absent: removing anything.

use crate::{
    domain::{BackupId, status::BackupStatus},
    store::{backup_policies::Policy, backups::Backup},
};

const DAY_MS: i64 = 24 * 3600 * 1000;
/// What a failed backup says is of use for so long.
const FAILED_DAYS: i64 = 7;

/// Those to be removed, of a policy's backups from the newest to the oldest.
pub fn expired(policy: &Policy, backups: &[Backup], now: i64) -> Vec<BackupId> {
    let mut good = 0;
    let goes = |backup: &&Backup| {
        let days = (now - backup.created_at) / DAY_MS;
        match backup.status {
            BackupStatus::Verified => {
                good += 1;
                let too_many = policy.keep_count.is_some_and(|most| good > most);
                let too_old = policy.keep_days.is_some_and(|most| days >= most);
                good > 1 && (too_many || too_old)
            }
            BackupStatus::Failed => days >= FAILED_DAYS,
            _ => false,
        }
    };
    backups.iter().filter(goes).map(|backup| backup.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        AppId, BackupKind, BackupPolicyId, BackupSource, BackupTargetId, ClientId, ServerId, ServiceId,
    };

    fn policy(keep_count: Option<i64>, keep_days: Option<i64>) -> Policy {
        Policy {
            id: BackupPolicyId::new(),
            client: ClientId::new(),
            target: BackupTargetId::new(),
            source: BackupSource::Service(ServiceId::new()),
            schedule: "0 3 * * *".parse().expect("a schedule"),
            keep_count,
            keep_days,
            enabled: true,
            next_at: 0,
            created_at: 0,
            updated_at: 0,
        }
    }

    fn backup(policy: &Policy, status: BackupStatus, day: i64) -> Backup {
        Backup {
            id: BackupId::new(),
            client: policy.client,
            target: policy.target,
            policy: Some(policy.id),
            source: policy.source.clone(),
            kind: BackupKind::Postgres,
            server: ServerId::new(),
            app: AppId::new(),
            job: None,
            status,
            stem: String::new(),
            key: None,
            bytes: None,
            proof: None,
            error_code: None,
            error_message: None,
            delete_requested_at: None,
            created_at: day * DAY_MS,
            started_at: None,
            uploaded_at: None,
            finished_at: None,
        }
    }

    /// Which of ten days' backups go, as days.
    fn gone(policy: &Policy, status: impl Fn(i64) -> BackupStatus) -> Vec<i64> {
        let backups: Vec<_> = (0..10).rev().map(|day| backup(policy, status(day), day)).collect();
        let ids = expired(policy, &backups, 10 * DAY_MS);
        backups.iter().filter(|b| ids.contains(&b.id)).map(|b| b.created_at / DAY_MS).collect()
    }

    #[test]
    fn good_backups_go_by_number_and_by_age_and_the_newest_one_stays() {
        use BackupStatus as S;
        assert_eq!(gone(&policy(Some(3), None), |_| S::Verified), [6, 5, 4, 3, 2, 1, 0]);
        assert_eq!(gone(&policy(None, Some(5)), |_| S::Verified), [5, 4, 3, 2, 1, 0]);
        assert_eq!(gone(&policy(Some(3), Some(2)), |_| S::Verified), [8, 7, 6, 5, 4, 3, 2, 1, 0]);
        // Only the oldest one is good.
        let last = |day| if day == 0 { S::Verified } else { S::Failed };
        assert_eq!(gone(&policy(Some(1), Some(1)), last), [3, 2, 1]);
        assert_eq!(gone(&policy(Some(1), Some(1)), |_| S::Uploaded), [0; 0]);
    }
}
