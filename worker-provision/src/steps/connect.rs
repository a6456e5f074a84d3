//! Reaching a server that is still on its way.

use shared::{
    failure::Failure,
    login::ONE_TRY,
    secrets::MasterKey,
    ssh::{Session, SshError},
    store::servers::Server,
};
/// Where a server stands that does not let us in yet.
pub enum Contact {
    Made(Session),
    /// It does not answer, or not as SSH does.
    Silent(SshError),
    /// It answers but does not know our key.
    Closed(SshError),
}

/// Tries once; what no waiting changes, a wrong host key before all, is a failure.
pub async fn contact(master: &MasterKey, server: &Server, dev_mode: bool) -> Result<Contact, Failure> {
    match Session::connect_within(&server.target(master)?, server.reach(dev_mode), ONE_TRY).await {
        Ok(session) => Ok(Contact::Made(session)),
        Err(e @ SshError::Refused) => Ok(Contact::Closed(e)),
        Err(e) if e.is_transient() => Ok(Contact::Silent(e)),
        Err(e) => Err(e.into()),
    }
}
