//! Reaching a server that is still on its way.

use std::time::Duration;

use shared::{
    failure::Failure,
    login::ONE_TRY,
    secrets::MasterKey,
    ssh::{Session, SshError},
    store::servers::Server,
};
use tokio::time::{Instant, sleep};

/// A person is slower than a machine.
const PERSON: Duration = Duration::from_secs(3);

/// How long a server may take until it lets us in.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until it answers.
    pub boot: Duration,
    /// Between two tries. A machine that is not ours may take many of them for an attack.
    pub pause: Duration,
    /// Until our key is in place, where a person has to put it there.
    pub login: Duration,
    pub dev_mode: bool,
}

/// Connects as soon as a booting server answers; a wrong host key ends it at once.
pub async fn wait_for_ssh(master: &MasterKey, server: &Server, patience: Patience) -> Result<Session, Failure> {
    let (target, reach) = (server.target(master)?, server.reach(patience.dev_mode));
    let start = Instant::now();
    loop {
        let error = match Session::connect_within(&target, reach, ONE_TRY).await {
            Ok(session) => return Ok(session),
            Err(e) => e,
        };
        let (limit, pause) = match &error {
            SshError::Refused => (patience.login, PERSON),
            e if e.is_transient() => (patience.boot, patience.pause),
            _ => (Duration::ZERO, Duration::ZERO),
        };
        if start.elapsed() >= limit {
            return Err(error.into());
        }
        sleep(pause).await;
    }
}
