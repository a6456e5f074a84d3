//! What a project is and what its credentials may not do.

use http::StatusCode;
use serde::Deserialize;

use super::{CLOUD, Ovh};
use crate::providers::cloud::{AccountInfo, Class, CloudError, rest::Failed};

#[derive(Deserialize)]
struct Project {
    description: Option<String>,
    status: String,
}

#[derive(Deserialize)]
struct Quota {
    instance: Option<InstanceQuota>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InstanceQuota {
    max_instances: Option<i64>,
}

#[derive(Deserialize)]
struct Credential {
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    method: String,
    path: String,
}

/// What we ask of a project, below its path; `x` stands for an id.
const ASKED: &[(&str, &str)] = &[
    ("GET", "/region"),
    ("GET", "/flavor"),
    ("GET", "/image"),
    ("GET", "/sshkey"),
    ("POST", "/sshkey"),
    ("GET", "/instance"),
    ("POST", "/instance"),
    ("GET", "/instance/x"),
    ("DELETE", "/instance/x"),
    ("POST", "/instance/x/start"),
    ("POST", "/instance/x/stop"),
    ("POST", "/instance/x/reboot"),
    ("POST", "/instance/x/resize"),
];

impl Ovh {
    /// The rights of an application key are read; those of a service account to read are tried, and those to write are
    /// not known before they are used.
    pub(super) async fn examine(&self) -> Result<AccountInfo, CloudError> {
        let mut missing = Vec::new();
        let project: Option<Project> = self.tried(&mut missing, &self.within(&[])).await?;
        if let Some(bad) = project.as_ref().filter(|p| p.status != "ok") {
            let message = format!("the project is {}", bad.status);
            return Err(CloudError::new(CLOUD, Class::Account, bad.status.clone(), message));
        }
        if self.auth.has_rules() {
            self.read_rules(&mut missing).await?;
        } else {
            self.try_reading(&mut missing).await?;
        }
        let quotas: Vec<Quota> = self.tried(&mut missing, &self.within(&["quota"])).await?.unwrap_or_default();
        let limits = quotas.into_iter().filter_map(|q| q.instance?.max_instances);
        missing.sort();
        missing.dedup();
        Ok(AccountInfo {
            account: project.and_then(|p| p.description).unwrap_or_else(|| self.project.clone()),
            identity: Some(self.project.clone()),
            lasting: true,
            // A limit holds for each region; unlimited is -1.
            machine_limit: limits.filter_map(|l| u32::try_from(l).ok()).max(),
            missing,
        })
    }

    /// A read that may be forbidden, which is then told and no error.
    async fn tried<T: serde::de::DeserializeOwned>(
        &self,
        missing: &mut Vec<String>,
        path: &[&str],
    ) -> Result<Option<T>, CloudError> {
        match self.read(path, &[]).await {
            Ok(found) => Ok(Some(found)),
            Err(failed) if is_forbidden(&failed) => {
                let call = format!("GET /{}", path.join("/"));
                missing.extend(if failed.lacks.is_empty() { vec![call] } else { failed.lacks });
                Ok(None)
            }
            Err(failed) => Err(failed.into()),
        }
    }

    async fn try_reading(&self, missing: &mut Vec<String>) -> Result<(), CloudError> {
        for path in ["region", "flavor", "image", "sshkey", "instance"] {
            self.tried::<serde::de::IgnoredAny>(missing, &self.within(&[path])).await?;
        }
        Ok(())
    }

    async fn read_rules(&self, missing: &mut Vec<String>) -> Result<(), CloudError> {
        let found: Option<Credential> = self.tried(missing, &["auth", "currentCredential"]).await?;
        let Some(Credential { rules }) = found else { return Ok(()) };
        for (method, below) in ASKED {
            let path = format!("/cloud/project/{}{below}", self.project);
            if !rules.iter().any(|r| r.method == *method && fits(&r.path, &path)) {
                missing.push(format!("{method} {}", path.replace("/x", "/*")));
            }
        }
        Ok(())
    }
}

/// The credentials are some, and lack a right.
fn is_forbidden(failed: &Failed) -> bool {
    let wrong = ["INVALID_KEY", "INVALID_CREDENTIAL", "NOT_CREDENTIAL", "INVALID_SIGNATURE"];
    failed.refused && failed.status == Some(StatusCode::FORBIDDEN) && !wrong.contains(&failed.error.code.as_str())
}

/// Whether a path fits a rule, in which a star is any text.
pub(super) fn fits(rule: &str, path: &str) -> bool {
    let mut parts = rule.split('*');
    let Some(mut rest) = parts.next().and_then(|first| path.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}
