//! How a test logs in.

use cloud_emulator::{CloudKind, known};
use shared::providers::cloud::{AwsLogin, Credentials, OvhEndpoint, OvhLogin};

/// Of the account that every emulated world has.
pub fn credentials(kind: CloudKind) -> Credentials {
    match kind {
        CloudKind::Hetzner => Credentials::Hetzner { token: known::HETZNER_TOKEN.into() },
        CloudKind::DigitalOcean => Credentials::DigitalOcean { token: known::DIGITALOCEAN_TOKEN.into() },
        CloudKind::Ovh => Credentials::Ovh {
            endpoint: OvhEndpoint::Eu,
            project: known::OVH_PROJECT.into(),
            login: OvhLogin::ApplicationKey {
                application_key: known::OVH_APPLICATION_KEY.into(),
                application_secret: known::OVH_APPLICATION_SECRET.into(),
                consumer_key: known::OVH_CONSUMER_KEY.into(),
            },
        },
        CloudKind::Aws => Credentials::Aws(AwsLogin::Keys {
            access_key_id: known::AWS_KEY_ID.into(),
            secret_access_key: "secret".into(),
        }),
    }
}
