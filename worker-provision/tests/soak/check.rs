//! What has to be true: always, and once nothing moves any more.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use cloud_emulator::{CloudKind, Emulator, Machine as Emulated, State};
use shared::{
    domain::{
        ServerId,
        status::{MachineState, ServerStatus as Status},
    },
    store::{
        machines::{self, Machine},
        servers::Server,
    },
};
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use crate::place::Place;

const SAMPLE: Duration = Duration::from_millis(100);
/// Cloud and database have one clock; some clouds tell whole seconds.
const CLOCK_MS: i64 = 1000;

/// Looks all the time whether two machines of one name stand that nobody has asked to end.
pub struct Watch {
    stop: watch::Sender<bool>,
    task: JoinHandle<(usize, BTreeSet<String>)>,
}

impl Watch {
    pub fn over(emulator: Emulator) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let (mut samples, mut found) = (0, BTreeSet::new());
            while !*stopped.borrow() {
                samples += 1;
                found.extend(doubles(&emulator));
                sleep(SAMPLE).await;
            }
            (samples, found)
        });
        Self { stop, task }
    }

    pub async fn end(self) -> Vec<String> {
        self.stop.send_replace(true);
        let (samples, found) = self.task.await.expect("the watch ends");
        println!("samples            {samples}");
        found.into_iter().map(|name| format!("two machines of one name stood: {name}")).collect()
    }
}

fn doubles(emulator: &Emulator) -> BTreeSet<String> {
    let (mut once, mut twice) = (BTreeSet::new(), BTreeSet::new());
    let staying = |m: &Emulated| !matches!(m.state, State::Deleting | State::Gone);
    for machine in emulator.live().into_iter().filter(staying) {
        let name = (machine.cloud, machine.name);
        if !once.insert(name.clone()) {
            twice.insert(format!("{:?} {}", name.0, name.1));
        }
    }
    twice
}

pub fn statuses(servers: &[Server]) -> Vec<(String, usize)> {
    let mut counts = BTreeMap::new();
    for server in servers {
        let why = server.error_code.as_deref().filter(|_| matches!(server.status, Status::Failed | Status::Stuck));
        let name = why.map_or_else(|| server.status.to_string(), |why| format!("{} ({why})", server.status));
        *counts.entry(name).or_default() += 1;
    }
    counts.into_iter().collect()
}

/// Every machine's row, by server.
pub async fn rows(place: &Place, servers: &[Server]) -> BTreeMap<ServerId, Vec<Machine>> {
    let mut all = BTreeMap::new();
    for server in servers {
        all.insert(server.id, machines::of_server(&place.db, server.id).await.expect("machines"));
    }
    all
}

/// What has to be true once nothing moves any more.
pub async fn all(place: &Place, servers: &[Server]) -> Vec<String> {
    let rows = rows(place, servers).await;
    let mut violations: Vec<String> = servers.iter().filter_map(unsettled).collect();
    violations.extend(unlike(place, servers, &rows));
    violations.extend(unintended(place, &rows));
    for server in servers {
        violations.extend(of_server(server, &rows[&server.id]));
    }
    violations
}

/// A server that nobody works on is in a state in which nobody has to, or says why not.
fn unsettled(server: &Server) -> Option<String> {
    let settled = match server.status {
        Status::Ready | Status::Stopped | Status::Deleted => true,
        Status::Failed | Status::Stuck => server.error_code.is_some() && server.error_message.is_some(),
        _ => false,
    };
    let waits = server.wish.is_some() || (server.delete_requested_at.is_some() && server.status != Status::Deleted);
    (!settled || waits).then(|| format!("nobody works on {} any more: {} {:?}", server.id, server.status, server.wish))
}

/// One machine for a server in use, none for one that is not.
fn of_server(server: &Server, rows: &[Machine]) -> Option<String> {
    let present = rows.iter().filter(|m| m.state == MachineState::Present).count();
    let open = rows.iter().filter(|m| !matches!(m.state, MachineState::Gone | MachineState::Void)).count();
    let wanted = usize::from(matches!(server.status, Status::Ready | Status::Stopped));
    let fits = present == wanted && open == wanted;
    (!fits).then(|| format!("{} is {} with {present} machines present and {open} open", server.id, server.status))
}

/// The machines that stand are those that the rows say are present, in the state and the size that is known.
fn unlike(place: &Place, servers: &[Server], rows: &BTreeMap<ServerId, Vec<Machine>>) -> Vec<String> {
    let mut standing: BTreeMap<(&str, String), Emulated> =
        place.emulator.live().into_iter().map(|m| ((m.cloud.name(), m.id.clone()), m)).collect();
    let mut violations = Vec::new();
    for server in servers {
        for row in rows[&server.id].iter().filter(|m| m.state == MachineState::Present) {
            let id = row.remote_id.clone().unwrap_or_default();
            match standing.remove(&(place.tenant_of(&server.provider).kind.name(), id.clone())) {
                Some(machine) => violations.extend(differs(server, row, &machine)),
                None => violations.push(format!("{} has no machine {id} at {}", server.id, server.provider)),
            }
        }
    }
    violations.extend(standing.values().map(|m| format!("nobody's: {:?} {} {} {:?}", m.cloud, m.id, m.name, m.state)));
    violations
}

fn differs(server: &Server, row: &Machine, machine: &Emulated) -> Option<String> {
    let state = if server.status == Status::Stopped { State::Stopped } else { State::Running };
    let same = machine.state == state && machine.name == row.name && machine.size == row.size;
    let told = || {
        format!(
            "{} is {} of size {} (wish refused: {:?}), and its machine {:?} {} is {:?} of size {}",
            server.id,
            server.status,
            row.size,
            server.error_message,
            machine.cloud,
            machine.id,
            machine.state,
            machine.size
        )
    };
    (!same).then(told)
}

/// Nothing was ever made that no row intended before, and what a row names was.
fn unintended(place: &Place, rows: &BTreeMap<ServerId, Vec<Machine>>) -> Vec<String> {
    let all: Vec<&Machine> = rows.values().flatten().collect();
    let names: BTreeMap<&str, &Machine> = all.iter().map(|m| (m.name.as_str(), *m)).collect();
    let made = place.emulator.inventory();
    let intended = |m: &&Emulated| names.get(m.name.as_str()).is_some_and(|r| r.created_at <= m.created_at + CLOCK_MS);
    let stray = made.iter().filter(|m| !intended(m)).map(|m| format!("nobody intended {:?} {}", m.cloud, m.name));
    let known: BTreeSet<(CloudKind, &str)> = made.iter().map(|m| (m.cloud, m.id.as_str())).collect();
    let kinds: BTreeMap<_, _> = place.tenants.iter().map(|t| (t.client, t.kind)).collect();
    let invented =
        all.iter().filter(|r| r.remote_id.as_deref().is_some_and(|id| !known.contains(&(kinds[&r.client], id))));
    stray.chain(invented.map(|r| format!("the row {} names a machine that never was", r.name))).collect()
}
