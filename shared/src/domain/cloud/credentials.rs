//! What lets us into an account at a cloud.
//!
//! Invariant: the parts that are secrets are [`SecretString`] and show in no debug output; the JSON form exists to be
//! sealed. Absent: where it is sealed, and whether it works.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

/// Credentials of one account, as they are sealed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "cloud", rename_all = "snake_case")]
pub enum Credentials {
    /// An API token with read and write access to one project.
    Hetzner {
        #[serde(serialize_with = "expose")]
        token: SecretString,
    },
    /// A personal access token, full or with the scopes that docs/providers/digitalocean.md lists.
    #[serde(rename = "digitalocean")]
    DigitalOcean {
        #[serde(serialize_with = "expose")]
        token: SecretString,
    },
    Ovh {
        endpoint: OvhEndpoint,
        project: String,
        login: OvhLogin,
    },
    Aws(AwsLogin),
}

/// Which of OVHcloud's three companies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OvhEndpoint {
    Eu,
    Ca,
    Us,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OvhLogin {
    /// An application with a consumer key that its owner has confirmed.
    ApplicationKey {
        application_key: String,
        #[serde(serialize_with = "expose")]
        application_secret: SecretString,
        #[serde(serialize_with = "expose")]
        consumer_key: SecretString,
    },
    /// A service account.
    OAuth2 {
        client_id: String,
        #[serde(serialize_with = "expose")]
        client_secret: SecretString,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AwsLogin {
    Keys {
        access_key_id: String,
        #[serde(serialize_with = "expose")]
        secret_access_key: SecretString,
    },
    /// A role that trusts the engine's own account under this external id, which the engine made.
    Role { role_arn: String, external_id: String },
}

impl Credentials {
    /// The provider's name in the API.
    pub fn provider(&self) -> &'static str {
        match self {
            Self::Hetzner { .. } => "hetzner",
            Self::DigitalOcean { .. } => "digitalocean",
            Self::Ovh { .. } => "ovh",
            Self::Aws(_) => "aws",
        }
    }
}

fn expose<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sealed_form_reads_back_and_nothing_else_shows_secrets() {
        let all = [
            Credentials::Hetzner { token: "s3cret".into() },
            Credentials::DigitalOcean { token: "s3cret".into() },
            Credentials::Ovh {
                endpoint: OvhEndpoint::Eu,
                project: "p".into(),
                login: OvhLogin::OAuth2 { client_id: "c".into(), client_secret: "s3cret".into() },
            },
            Credentials::Aws(AwsLogin::Keys { access_key_id: "a".into(), secret_access_key: "s3cret".into() }),
        ];
        for credentials in all {
            let json = serde_json::to_string(&credentials).expect("JSON");
            assert!(
                json.contains("s3cret") && json.contains(&format!("\"cloud\":\"{}\"", credentials.provider())),
                "{json}"
            );
            let back: Credentials = serde_json::from_str(&json).expect("reads back");
            assert_eq!(serde_json::to_string(&back).expect("JSON"), json);
            assert!(!format!("{back:?}").contains("s3cret"));
        }
    }
}
