//! The keys of a server, made and stored before the server exists.

use secrecy::ExposeSecret;
use shared::{
    domain::status::MachineState,
    failure::Failure,
    providers::{Address, Spec, Wanted},
    secrets::{MasterKey, Place},
    ssh::{generate_key, public_of},
    store::{
        Db, Fence, machines,
        servers::{self, HOST_KEY_FIELD, LOGIN_KEY_FIELD, NewKeys, Server},
    },
};

use crate::source::is_rented;

/// Makes the keys of a server unless it has them; returns the server with them. A machine that the client brings has
/// its own host key and was given a login key. A rented machine that is still to be made needs a host key to be born with,
/// also when the one before it had changed its own.
pub async fn ensure_keys(db: &Db, master: &MasterKey, fence: Fence, server: Server) -> Result<Server, Failure> {
    let has_all = server.login_private_key_sealed.is_some() && server.host_public_key.is_some();
    if has_all && !(is_rented(&server) && server.host_private_key_sealed.is_none() && !stands(db, &server).await?) {
        return Ok(server);
    }
    let keys = make(master, &server)?;
    servers::set_keys(db, fence, server.id, &keys).await?;
    servers::load(db, fence, server.id).await?.ok_or(Failure::Stopped)
}

/// Whether the server has a machine, or may.
pub async fn stands(db: &Db, server: &Server) -> Result<bool, Failure> {
    let machines = machines::of_server(db, server.id).await?;
    Ok(machines.iter().any(|m| !matches!(m.state, MachineState::Gone | MachineState::Void)))
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

/// What the server is to be.
pub fn spec(server: &Server) -> Result<Spec, Failure> {
    serde_json::from_str(&server.spec)
        .map_err(|e| Failure::permanent("spec_invalid", format!("the server's spec cannot be used: {e}")))
}

/// The server as its provider is asked for it.
pub fn wanted(master: &MasterKey, server: &Server) -> Result<Wanted, Failure> {
    let spec = spec(server)?;
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
