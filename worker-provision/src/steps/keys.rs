//! The keys of a server, made and stored before the server exists.

use secrecy::ExposeSecret;
use shared::{
    failure::Failure,
    providers::{Address, Spec, Wanted},
    secrets::{MasterKey, Place},
    ssh::{generate_key, public_of},
    store::{
        Db, Fence,
        servers::{self, HOST_KEY_FIELD, LOGIN_KEY_FIELD, NewKeys, Server},
    },
};

/// Makes the keys of a server unless it has them; returns the server with them. A machine that the client brings has
/// its own host key and was given a login key.
pub async fn ensure_keys(db: &Db, master: &MasterKey, fence: Fence, server: Server) -> Result<Server, Failure> {
    if server.login_private_key_sealed.is_some() && server.host_public_key.is_some() {
        return Ok(server);
    }
    let keys = make(master, &server)?;
    servers::set_keys(db, fence, server.id, &keys).await?;
    servers::load(db, fence, server.id).await?.ok_or(Failure::Stopped)
}

fn make(master: &MasterKey, server: &Server) -> Result<NewKeys, Failure> {
    let (host, login) = (generate_key("byop-host")?, generate_key("byop-engine")?);
    let row = server.id.to_string();
    let seal = |field, text: &str| master.seal(Place { client: server.client, field, row: &row }, text.as_bytes());
    Ok(NewKeys {
        host_private_sealed: seal(HOST_KEY_FIELD, host.private.expose_secret())?,
        login_private_sealed: seal(LOGIN_KEY_FIELD, login.private.expose_secret())?,
        host_public: host.public,
        login_public: login.public,
    })
}

/// The server as its provider is asked for it.
pub fn wanted(master: &MasterKey, server: &Server) -> Result<Wanted, Failure> {
    let spec: Spec = serde_json::from_str(&server.spec)
        .map_err(|e| Failure::permanent("spec_invalid", format!("the server's spec cannot be used: {e}")))?;
    let host_private = server.host_private_key_sealed.is_some().then(|| server.host_key(master)).transpose()?;
    let port = u16::try_from(server.ssh_port).unwrap_or(22);
    Ok(Wanted {
        server: server.id,
        client: server.client,
        spec,
        address: server.address.clone().map(|host| Address { host, port }),
        host_public: server.host_public_key.clone().unwrap_or_default(),
        host_private,
        login_public: match &server.login_public_key {
            Some(key) => key.clone(),
            None => public_of(server.login_key(master)?.expose_secret())?,
        },
    })
}
