//! A host key of the server's own, in place of the one that came with its user-data.
//!
//! Everything on a machine can read its user-data from the cloud's metadata, so the first host key is good for the first
//! contact only. The new one is made on the server, and its private half never leaves it.
//!
//! Invariant: at every moment the server shows the pinned key or the pending one, and the pending one is stored before it
//! can show. Absent: the login key, whose private half never was on the server.

use std::time::Duration;

use shared::{
    failure::Failure,
    login::ONE_TRY,
    secrets::MasterKey,
    ssh::{Exec, Session, SshError},
    store::{
        Db, Fence,
        servers::{self, Server},
    },
};
use tokio::time::{Instant, sleep};

/// Prints the key that is to come. One that is in place already, while the daemon still shows the pinned one (`$1`), is it.
const MAKE: &str = r#"
set -eu
now=/etc/ssh/ssh_host_ed25519_key next=/etc/ssh/byop_next_ed25519_key
if [ "$(cut -d' ' -f1,2 $now.pub)" != "$1" ]; then cut -d' ' -f1,2 $now.pub; exit; fi
if [ ! -s $next ] || [ ! -s $next.pub ]; then
  rm -f $next $next.pub
  ssh-keygen -q -t ed25519 -N '' -C byop-host -f $next
  sync /etc/ssh $next $next.pub
fi
cut -d' ' -f1,2 $next.pub
"#;

/// Puts it in place; established connections stay.
const SWITCH: &str = r#"
set -eu
now=/etc/ssh/ssh_host_ed25519_key next=/etc/ssh/byop_next_ed25519_key
if [ -s $next ]; then
  chmod 600 $next
  mv -f $next.pub $now.pub
  mv -f $next $now
  sync /etc/ssh
fi
/usr/sbin/sshd -t
systemctl reload ssh 2>/dev/null || systemctl reload sshd 2>/dev/null || kill -HUP "$(cat /run/sshd.pid)"
"#;

/// How long the daemon may take to show the new key.
const LIMIT: Duration = Duration::from_secs(30);
const BETWEEN: Duration = Duration::from_millis(100);

/// The server with the key that is pending.
pub fn with_pending(server: &Server) -> Option<Server> {
    let pending = server.host_public_pending.clone()?;
    Some(Server { host_public_key: Some(pending), ..server.clone() })
}

/// Changes the host key unless that was done; returns a session under the key that counts from now on.
pub async fn rotate_host_key(
    db: &Db,
    fence: Fence,
    master: &MasterKey,
    server: &Server,
    session: Session,
    dev_mode: bool,
) -> Result<Session, Failure> {
    let Some(pinned) = server.host_public_key.as_deref().filter(|_| server.host_private_key_sealed.is_some()) else {
        return Ok(session);
    };
    let shown = plain(pinned);
    let made = session.script(MAKE, &[&shown], Exec::default()).await?;
    let fresh = plain(&made);
    if !fresh.starts_with("ssh-ed25519 ") || fresh == shown {
        return Err(Failure::transient("host_key_not_made", "the server made no host key of its own"));
    }
    if !servers::set_pending_host_key(db, fence, server.id, &fresh).await? {
        return Err(Failure::Stopped);
    }
    session.script(SWITCH, &[], Exec::default()).await?;
    session.close().await;
    let after = servers::load(db, fence, server.id).await?.ok_or(Failure::Stopped)?;
    let session = under_pending(master, &after, dev_mode).await?;
    if servers::promote_host_key(db, fence, server.id).await? { Ok(session) } else { Err(Failure::Stopped) }
}

async fn under_pending(master: &MasterKey, server: &Server, dev_mode: bool) -> Result<Session, Failure> {
    let server = with_pending(server).ok_or(Failure::Stopped)?;
    let (target, until) = (server.target(master)?, Instant::now() + LIMIT);
    loop {
        match Session::connect_within(&target, server.reach(dev_mode), ONE_TRY).await {
            Ok(session) => return Ok(session),
            // It still shows the old one, or is between the two.
            Err(e) if (matches!(e, SshError::HostKey) || e.is_transient()) && Instant::now() < until => {
                sleep(BETWEEN).await;
            }
            Err(e) => return Err(e.into()),
        }
    }
}

/// Type and base64, without the comment.
fn plain(key: &str) -> String {
    key.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}
