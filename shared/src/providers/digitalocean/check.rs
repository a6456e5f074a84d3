//! What an account is and what its token may not do.

use http::StatusCode;
use serde::Deserialize;

use super::{CLOUD, DigitalOcean};
use crate::providers::cloud::{
    AccountInfo, Class, CloudError,
    rest::{self, Failed},
};

#[derive(Deserialize)]
struct Account {
    uuid: Option<String>,
    #[serde(default)]
    email: String,
    status: Option<String>,
    #[serde(default)]
    status_message: String,
    /// Left out without the scope to read droplets.
    droplet_limit: Option<u32>,
    team: Option<Team>,
}

#[derive(Deserialize)]
struct Team {
    name: String,
    uuid: Option<String>,
}

/// What is read, with the scope for it.
const READ: &[(&[&str], &str)] = &[
    (&["droplets"], "droplet:read"),
    (&["regions"], "regions:read"),
    (&["sizes"], "sizes:read"),
    (&["images"], "image:read"),
    (&["account", "keys"], "ssh_key:read"),
    (&["firewalls"], "firewall:read"),
    (&["tags"], "tag:read"),
];

impl DigitalOcean {
    pub(super) async fn examine(&self) -> Result<AccountInfo, CloudError> {
        let mut missing = Vec::new();
        let account = match self.read(&["account"], &[]).await {
            Ok(mut body) => Some(rest::part::<Account>(CLOUD, &mut body, "account")?),
            Err(failed) if is_scope(&failed) => {
                missing.push("account:read".to_owned());
                None
            }
            Err(failed) => return Err(failed.into()),
        };
        if let Some(locked) = account.as_ref().filter(|a| a.status.as_deref() == Some("locked")) {
            let message = format!("the account is locked {}", locked.status_message);
            return Err(CloudError::new(CLOUD, Class::Account, "locked", message.trim_end()));
        }
        for (path, scope) in READ {
            match self.read(path, &[("per_page", "1")]).await {
                Err(failed) if is_scope(&failed) => missing.push((*scope).to_owned()),
                other => drop(other?),
            }
        }
        let machine_limit = account.as_ref().and_then(|a| a.droplet_limit);
        let team = account.as_ref().and_then(|a| a.team.as_ref()?.uuid.clone());
        let identity = team.or_else(|| account.as_ref()?.uuid.clone());
        let name = account.map(|a| a.team.map_or(a.email, |t| t.name)).unwrap_or_default();
        Ok(AccountInfo { account: name, identity, lasting: true, machine_limit, missing })
    }
}

/// The token is one, and lacks a scope.
fn is_scope(failed: &Failed) -> bool {
    failed.status == Some(StatusCode::FORBIDDEN) && failed.error.class == Class::Auth && failed.refused
}
