//! Renting: exactly one machine for a server, whatever is killed, cut off or answered late; and none when it is not wanted.
//!
//! Invariants: what is asked of a cloud stands in a `machines` row before it is asked, and is asked again only as it stands
//! there. An order whose outcome is unknown is resolved before anything else happens: by the same order again where the
//! cloud knows it by its token or name, by looking until it would have shown itself where not. A machine has ended when the
//! cloud has not shown it twice, some time apart, by id and by name. Nothing here sleeps: what has to be waited for is
//! [`Failure::Later`], and the next run finds its place from the row. Absent: what is put on a machine, and whose it is.

mod leave;
mod make;
mod order;
mod pace;
mod resolve;

use std::time::Duration;

use shared::{
    domain::{AccountId, ClientId, ServerId, status::MachineState},
    failure::Failure,
    providers::{
        Address, Wanted,
        cloud::{Catalog, Class, Cloud, CloudError, Install, Machine as Seen, MachineName},
    },
    secrets::MasterKey,
    store::{
        Db, Fence,
        machines::{Change, Machine},
    },
};

pub use pace::Pace;

use crate::accounts::Lineage;

/// What one run needs.
pub struct Renter<'a> {
    pub db: &'a Db,
    pub master: &'a MasterKey,
    pub fence: Fence,
    pub cloud: &'a dyn Cloud,
    pub account: AccountId,
    pub install: &'a Install,
    pub pace: &'a Pace,
    pub lineage: &'a Lineage,
    /// For prices; empty where the cloud tells none.
    pub catalog: &'a Catalog,
    pub server: ServerId,
    pub client: ClientId,
    /// What is to be made; not needed by who only removes.
    pub wanted: Option<&'a Wanted>,
    /// Machines of an earlier life of the server do not count against this one.
    pub born: i64,
}

/// How a step ended that did not fail.
enum Step {
    /// The row says what comes next.
    On,
    Ready(Address),
}

impl Renter<'_> {
    fn change(&self, machine: &Machine) -> Change<'_> {
        Change { db: self.db, fence: self.fence, id: machine.id }
    }

    fn wanted(&self) -> Result<&Wanted, Failure> {
        self.wanted.ok_or_else(|| Failure::permanent("not_wanted", "no machine is wanted for the server"))
    }

    fn name(&self, machine: &Machine) -> Result<MachineName, Failure> {
        machine
            .name
            .parse()
            .map_err(|_| Failure::permanent("machine_unreadable", "a stored machine has no name of ours"))
    }

    /// Every machine that the cloud shows under the name and that may still cost something.
    async fn look(&self, machine: &Machine) -> Result<Vec<Seen>, Failure> {
        let mut found = self.cloud.find(&machine.region, &self.name(machine)?).await.map_err(|e| self.later(&e))?;
        found.retain(Seen::is_live);
        // The one to keep first: the oldest, and of those the smallest id, so that every look says the same.
        found.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(found)
    }

    fn since(&self, moment: Option<i64>) -> Duration {
        moment.map_or(Duration::MAX, |m| Duration::from_millis(u64::try_from(self.db.now_ms() - m).unwrap_or(0)))
    }

    /// What an error means that says nothing about a create. Outages are waited for; what only a person can change is not.
    fn later(&self, e: &CloudError) -> Failure {
        match e.class {
            Class::Later | Class::Conflict => Failure::Later(e.after.unwrap_or(self.pace.again)),
            _ => refusal(e),
        }
    }
}

/// A refusal in the client's terms.
fn refusal(e: &CloudError) -> Failure {
    let code = match e.class {
        Class::Later => "provider_unavailable",
        Class::Capacity => "no_capacity",
        Class::Quota => "provider_quota",
        Class::Account => "provider_account",
        Class::Auth => "provider_credentials",
        Class::Config => "provider_refused",
        Class::Conflict => "provider_conflict",
    };
    Failure::permanent(code, e.to_string())
}

/// A write that changed nothing: the job is somebody else's now.
fn held(done: bool) -> Result<(), Failure> {
    if done { Ok(()) } else { Err(Failure::Stopped) }
}

fn has_ended(machine: &Machine) -> bool {
    matches!(machine.state, MachineState::Gone | MachineState::Void)
}
