//! What every client of a cloud's API is made of, and which one fits which credentials.
//!
//! Invariant: all traffic goes over the given wire. Absent: AWS, whose client is made elsewhere.

use std::{fmt, sync::Arc};

use super::{Cloud, Credentials, Install, Zones};
use crate::{
    providers::{digitalocean::DigitalOcean, hetzner::Hetzner, ovh::Ovh, wire::Wire},
    ssh::Reach,
};

/// Where a cloud's API stands, for whom it is asked, and over what.
#[derive(Clone)]
pub struct Access {
    /// The API's address with its version, without a slash at the end.
    pub base: String,
    pub install: Install,
    pub wire: Arc<dyn Wire>,
    /// Which addresses a machine may have; one that is not reached is not told.
    pub reach: Reach,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { base, install, .. } = self;
        f.debug_struct("Access").field("base", base).field("install", install).finish_non_exhaustive()
    }
}

/// Where the APIs stand when it is not where the clouds say: an emulator, a gateway.
#[derive(Clone, Debug)]
pub struct Endpoints {
    pub hetzner: Option<String>,
    pub digitalocean: Option<String>,
    pub ovh: Option<String>,
    /// Where OVHcloud gives tokens to service accounts.
    pub ovh_tokens: Option<String>,
    /// Which addresses machines may have: those of an emulator are private.
    pub reach: Reach,
}

impl Default for Endpoints {
    fn default() -> Self {
        Self { hetzner: None, digitalocean: None, ovh: None, ovh_tokens: None, reach: Reach::Public }
    }
}

impl Endpoints {
    fn access(&self, base: Option<&String>, public: &str, install: &Install, wire: Arc<dyn Wire>) -> Access {
        let base = base.map_or(public, String::as_str).trim_end_matches('/').to_owned();
        Access { base, install: install.clone(), wire, reach: self.reach }
    }
}

/// The account behind credentials; `None` for AWS.
pub fn open(
    credentials: &Credentials,
    install: &Install,
    wire: Arc<dyn Wire>,
    endpoints: &Endpoints,
) -> Option<Box<dyn Cloud>> {
    Some(match credentials {
        Credentials::Hetzner { .. } => Box::new(hetzner(credentials, install, wire, endpoints)?),
        Credentials::DigitalOcean { .. } => Box::new(digitalocean(credentials, install, wire, endpoints)?),
        Credentials::Ovh { .. } => Box::new(ovh(credentials, install, wire, endpoints)?),
        Credentials::Aws(_) => return None,
    })
}

/// The name service of the account behind credentials; `None` for AWS.
pub fn open_zones(
    credentials: &Credentials,
    install: &Install,
    wire: Arc<dyn Wire>,
    endpoints: &Endpoints,
) -> Option<Box<dyn Zones>> {
    Some(match credentials {
        Credentials::Hetzner { .. } => Box::new(hetzner(credentials, install, wire, endpoints)?),
        Credentials::DigitalOcean { .. } => Box::new(digitalocean(credentials, install, wire, endpoints)?),
        Credentials::Ovh { .. } => Box::new(ovh(credentials, install, wire, endpoints)?),
        Credentials::Aws(_) => return None,
    })
}

fn hetzner(credentials: &Credentials, install: &Install, wire: Arc<dyn Wire>, at: &Endpoints) -> Option<Hetzner> {
    let Credentials::Hetzner { token } = credentials else { return None };
    Some(Hetzner::new(at.access(at.hetzner.as_ref(), Hetzner::BASE, install, wire), token.clone()))
}

fn digitalocean(
    credentials: &Credentials,
    install: &Install,
    wire: Arc<dyn Wire>,
    at: &Endpoints,
) -> Option<DigitalOcean> {
    let Credentials::DigitalOcean { token } = credentials else { return None };
    Some(DigitalOcean::new(at.access(at.digitalocean.as_ref(), DigitalOcean::BASE, install, wire), token.clone()))
}

fn ovh(credentials: &Credentials, install: &Install, wire: Arc<dyn Wire>, at: &Endpoints) -> Option<Ovh> {
    let Credentials::Ovh { endpoint, project, login } = credentials else { return None };
    let access = at.access(at.ovh.as_ref(), Ovh::base(*endpoint), install, wire);
    let tokens = at.ovh_tokens.as_deref().unwrap_or_else(|| Ovh::tokens(*endpoint)).to_owned();
    Some(Ovh::new(access, *endpoint, tokens, project.clone(), login.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::cloud::{AwsLogin, OvhEndpoint, OvhLogin, scripted::Script};

    fn ovh() -> Credentials {
        let login = OvhLogin::OAuth2 { client_id: "c".into(), client_secret: "s".into() };
        Credentials::Ovh { endpoint: OvhEndpoint::Ca, project: "p".into(), login }
    }

    #[tokio::test]
    async fn credentials_open_the_cloud_that_they_are_for() {
        let install: Install = "00112233aa".parse().expect("an installation");
        let at = Endpoints { hetzner: Some("http://h/v1/".to_owned()), ..Endpoints::default() };
        for (credentials, name) in [
            (Credentials::Hetzner { token: "t".into() }, "hetzner"),
            (Credentials::DigitalOcean { token: "t".into() }, "digitalocean"),
            (ovh(), "ovh"),
        ] {
            let wire = Script::new([]);
            let cloud = open(&credentials, &install, wire.clone(), &at).expect("a cloud");
            assert_eq!((cloud.traits().name, credentials.provider()), (name, name));
            assert!(open_zones(&credentials, &install, wire, &at).is_some());
        }
        let aws = Credentials::Aws(AwsLogin::Role { role_arn: "r".into(), external_id: "e".into() });
        assert!(open(&aws, &install, Script::new([]), &at).is_none());
        assert!(open_zones(&aws, &install, Script::new([]), &at).is_none());
    }

    #[tokio::test]
    async fn a_cloud_is_asked_where_it_stands() {
        let install: Install = "00112233aa".parse().expect("an installation");
        let at = Endpoints { hetzner: Some("http://h/v1/".to_owned()), ..Endpoints::default() };
        for (credentials, url) in [
            (Credentials::Hetzner { token: "t".into() }, "http://h/v1/servers/1"),
            (Credentials::DigitalOcean { token: "t".into() }, "https://api.digitalocean.com/v2/droplets/1"),
            (ovh(), "https://ca.ovh.com/auth/oauth2/token"),
        ] {
            let wire = Script::new([crate::providers::cloud::scripted::cut(true)]);
            let cloud = open(&credentials, &install, wire.clone(), &at).expect("a cloud");
            assert!(cloud.get("r", "1").await.is_err());
            assert_eq!(wire.end()[0].url, url);
        }
    }
}
