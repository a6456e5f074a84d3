//! Reaching a server that is still on its way.

use shared::{
    failure::Failure,
    login::ONE_TRY,
    secrets::MasterKey,
    ssh::{Session, SshError},
    store::servers::Server,
};

use super::rotate::with_pending;
use crate::prepare::Contact;

/// Tries once; what no waiting changes, a wrong host key before all, is a failure. While the host key is being changed the
/// server may show either one.
pub async fn contact(master: &MasterKey, server: &Server, dev_mode: bool) -> Result<Contact, Failure> {
    match try_once(master, server, dev_mode).await? {
        Err(SshError::HostKey) => match with_pending(server) {
            Some(server) => contacted(try_once(master, &server, dev_mode).await?),
            None => Err(SshError::HostKey.into()),
        },
        other => contacted(other),
    }
}

async fn try_once(master: &MasterKey, server: &Server, dev_mode: bool) -> Result<Result<Session, SshError>, Failure> {
    Ok(Session::connect_within(&server.target(master)?, server.reach(dev_mode), ONE_TRY).await)
}

fn contacted(tried: Result<Session, SshError>) -> Result<Contact, Failure> {
    match tried {
        Ok(session) => Ok(Contact::Made(Box::new(session))),
        Err(e @ SshError::Refused) => Ok(Contact::Closed(e)),
        Err(e) if e.is_transient() => Ok(Contact::Silent(e)),
        Err(e) => Err(e.into()),
    }
}
