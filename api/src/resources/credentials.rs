//! What lets us into an account at a cloud, as a client gives it.
//!
//! Invariants: the external id that a role asks for is never the client's choice, so nobody can make us use a role that
//! trusts us for somebody else; credentials are read and sealed, never shown. Absent: whether they work.

use poem_openapi::{Enum, Object};
use secrecy::SecretString;
use shared::{
    domain::{
        AccessKeyId, AccountId, ClientId, CloudLogin, OvhProject, RoleArn,
        cloud::{AwsLogin, Credentials, OvhEndpoint, OvhLogin},
    },
    secrets::Place,
    store::provider_accounts::CREDENTIALS_FIELD,
};
use zeroize::Zeroizing;

use crate::{app::App, problem::Problem, secret::Secret, typed::Typed};

/// A cloud where machines are rented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename = "Cloud", rename_all = "lowercase")]
pub enum Cloud {
    Hetzner,
    DigitalOcean,
    Ovh,
    Aws,
}

impl Cloud {
    const ALL: [Self; 4] = [Self::Hetzner, Self::DigitalOcean, Self::Ovh, Self::Aws];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hetzner => "hetzner",
            Self::DigitalOcean => "digitalocean",
            Self::Ovh => "ovh",
            Self::Aws => "aws",
        }
    }

    /// The cloud of that name. The API writes no other into the store.
    pub fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|cloud| cloud.as_str() == name).unwrap_or(Self::Aws)
    }
}

/// An API token of one project at Hetzner Cloud, with the right to read and write.
#[derive(Object)]
#[oai(deny_unknown_fields)]
pub struct HetznerCredentials {
    /// 16 to 256 letters, digits, `_`, `-` and `.`.
    token: Secret,
}

/// A personal access token at DigitalOcean.
#[derive(Object)]
#[oai(deny_unknown_fields)]
pub struct DigitalOceanCredentials {
    /// 16 to 256 letters, digits, `_`, `-` and `.`.
    token: Secret,
}

/// A Public Cloud project at OVHcloud, and one way to log in: `application_key` or `oauth2`.
#[derive(Object)]
#[oai(deny_unknown_fields)]
pub struct OvhCredentials {
    /// Which of OVHcloud's three companies has the project.
    endpoint: Endpoint,
    /// The project's id: 32 hexadecimal digits.
    project: Typed<OvhProject>,
    /// Either this or `oauth2`.
    application_key: Option<OvhApplicationKey>,
    /// Either this or `application_key`.
    oauth2: Option<OvhOauth2>,
}

/// One of OVHcloud's companies.
#[derive(Clone, Copy, Enum)]
#[oai(rename = "OvhEndpoint", rename_all = "lowercase")]
enum Endpoint {
    Eu,
    Ca,
    Us,
}

/// An application with a consumer key that the account's owner has confirmed.
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct OvhApplicationKey {
    /// The application's public key.
    application_key: Typed<CloudLogin>,
    /// The application's secret.
    application_secret: Secret,
    /// The key that the account's owner has confirmed for the application.
    consumer_key: Secret,
}

/// A service account.
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct OvhOauth2 {
    /// The service account's id.
    client_id: Typed<CloudLogin>,
    /// The service account's secret.
    client_secret: Secret,
}

/// One way into an AWS account: `access_key` or `role`.
#[derive(Object)]
#[oai(deny_unknown_fields)]
pub struct AwsCredentials {
    /// Either this or `role`.
    access_key: Option<AwsAccessKey>,
    /// Either this or `access_key`.
    role: Option<AwsRole>,
}

/// A lasting access key of a user.
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct AwsAccessKey {
    /// `AKIA` and what follows.
    access_key_id: Typed<AccessKeyId>,
    /// The key's secret half.
    secret_access_key: Secret,
}

/// A role that trusts the engine's own AWS account under the account's `external_id`, which is made here and shown.
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct AwsRole {
    /// Absent until the role exists: it can be made only once its external id is known.
    role_arn: Option<Typed<RoleArn>>,
}

/// What a request gives of each cloud.
pub struct Given {
    pub hetzner: Option<HetznerCredentials>,
    pub digitalocean: Option<DigitalOceanCredentials>,
    pub ovh: Option<OvhCredentials>,
    pub aws: Option<AwsCredentials>,
}

/// What a request gives of its own cloud.
pub enum Login {
    Complete(Credentials),
    /// A role that is there already, or is not yet: its external id comes first.
    Role(Option<RoleArn>),
}

fn invalid(detail: &str) -> Problem {
    Problem::invalid("invalid_body", detail)
}

impl Given {
    /// What is given of `cloud`, if anything; that something is given of another one is refused.
    pub fn of(self, cloud: Cloud) -> Result<Option<Login>, Problem> {
        let Self { hetzner, digitalocean, ovh, aws } = self;
        let given = [hetzner.is_some(), digitalocean.is_some(), ovh.is_some(), aws.is_some()];
        if Cloud::ALL.iter().zip(given).any(|(other, given)| given && *other != cloud) {
            return Err(invalid("Only the object that has the provider's name may be given."));
        }
        Ok(match cloud {
            Cloud::Hetzner => {
                hetzner.map(|h| token(h.token).map(|token| Credentials::Hetzner { token })).transpose()?
            }
            Cloud::DigitalOcean => {
                digitalocean.map(|d| token(d.token).map(|token| Credentials::DigitalOcean { token })).transpose()?
            }
            Cloud::Ovh => ovh.map(of_ovh).transpose()?,
            Cloud::Aws => return aws.map(of_aws).transpose(),
        }
        .map(Login::Complete))
    }
}

fn token(secret: Secret) -> Result<SecretString, Problem> {
    secret.made_of("A token", 16..=256, "_-.")
}

fn of_ovh(given: OvhCredentials) -> Result<Credentials, Problem> {
    let secret = |s: Secret, what: &str| s.made_of(what, 16..=256, "_-.");
    let login = match (given.application_key, given.oauth2) {
        (Some(key), None) => OvhLogin::ApplicationKey {
            application_key: key.application_key.0.into(),
            application_secret: secret(key.application_secret, "An application secret")?,
            consumer_key: secret(key.consumer_key, "A consumer key")?,
        },
        (None, Some(account)) => OvhLogin::OAuth2 {
            client_id: account.client_id.0.into(),
            client_secret: secret(account.client_secret, "A client secret")?,
        },
        _ => return Err(invalid("`ovh` has either `application_key` or `oauth2`.")),
    };
    let endpoint = match given.endpoint {
        Endpoint::Eu => OvhEndpoint::Eu,
        Endpoint::Ca => OvhEndpoint::Ca,
        Endpoint::Us => OvhEndpoint::Us,
    };
    Ok(Credentials::Ovh { endpoint, project: given.project.0.into(), login })
}

fn of_aws(given: AwsCredentials) -> Result<Login, Problem> {
    match (given.access_key, given.role) {
        (Some(key), None) => Ok(Login::Complete(Credentials::Aws(AwsLogin::Keys {
            access_key_id: key.access_key_id.0.into(),
            secret_access_key: key.secret_access_key.made_of("A secret access key", 16..=128, "/+=")?,
        }))),
        (None, Some(role)) => Ok(Login::Role(role.role_arn.map(|arn| arn.0))),
        _ => Err(invalid("`aws` has either `access_key` or `role`.")),
    }
}

impl Login {
    /// The credentials, with the account's external id where they need one; `None` while there is no role.
    pub fn complete(self, external_id: Option<&str>) -> Option<Credentials> {
        match self {
            Self::Complete(credentials) => Some(credentials),
            Self::Role(arn) => arn.zip(external_id).map(|(arn, external_id)| {
                Credentials::Aws(AwsLogin::Role { role_arn: arn.into(), external_id: external_id.to_owned() })
            }),
        }
    }
}

/// The sealed form, which opens only as this account's credentials.
pub fn seal(app: &App, client: ClientId, id: AccountId, credentials: &Credentials) -> Result<String, Problem> {
    let text = Zeroizing::new(serde_json::to_string(credentials).map_err(|_| Problem::internal())?);
    let row = id.to_string();
    let place = Place { client, field: CREDENTIALS_FIELD, row: &row };
    Ok(app.config.master_key.seal(place, text.as_bytes())?)
}
