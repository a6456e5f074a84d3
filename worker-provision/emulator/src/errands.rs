//! Asking a backing for what the requests began, one errand after another per machine.
//!
//! Invariant: a machine's errands run in order and never at once; its next state is entered when the backing is done.
//! Absent: everything in worlds without a backing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::backing::Errand;
use crate::emulator::{Emulator, Inner};
use crate::ledger::State;

#[derive(Default)]
pub(crate) struct Lanes(Mutex<HashMap<usize, UnboundedSender<(i64, Errand)>>>);

impl Lanes {
    pub fn send(&self, inner: &Arc<Inner>, errands: Vec<(i64, usize, Errand)>) {
        if errands.is_empty() {
            return;
        }
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (due, machine, errand) in errands {
            let lane = lanes.entry(machine).or_insert_with(|| {
                let (sender, receiver) = unbounded_channel();
                tokio::spawn(work(Arc::downgrade(inner), machine, receiver));
                sender
            });
            // The lane lives as long as the world does, so there is always somebody to take it.
            let _ = lane.send((due, errand));
        }
    }
}

async fn work(world: Weak<Inner>, machine: usize, mut lane: UnboundedReceiver<(i64, Errand)>) {
    while let Some((due, errand)) = lane.recv().await {
        let Some(emulator) = Emulator::upgrade(&world) else { return };
        let wait_ms = u64::try_from(due - emulator.clock().now_ms()).unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        run(&emulator, machine, errand).await;
    }
}

async fn run(emulator: &Emulator, machine: usize, errand: Errand) {
    let Some(backing) = emulator.0.settings.backing.clone() else { return };
    let snapshot = emulator.0.world().records[machine].machine(emulator.clock().now_ms());
    if snapshot.state == State::Gone {
        return;
    }
    let result = match errand {
        Errand::Start => backing.start(&snapshot).await.map(Some),
        Errand::Stop => backing.stop(&snapshot).await.map(|()| None),
        Errand::StartAgain => backing.start_again(&snapshot).await.map(Some),
        Errand::Reboot => backing.reboot(&snapshot).await.map(Some),
        Errand::Destroy => backing.destroy(&snapshot).await.map(|()| None),
    };
    if let Ok(Some(address)) = result {
        let record = &mut emulator.0.world().records[machine];
        let slot = if address.is_ipv4() { &mut record.ipv4 } else { &mut record.ipv6 };
        *slot = Some(address);
    }
    settle(emulator, machine, errand, result.is_ok());
}

/// Enters the state the errand led to, unless a later request has already changed what is wanted.
fn settle(emulator: &Emulator, machine: usize, errand: Errand, done: bool) {
    let now = emulator.clock().now_ms();
    let (during, then) = match errand {
        Errand::Start => (State::Booting, State::Running),
        Errand::Stop => (State::Stopping, State::Stopped),
        Errand::StartAgain => (State::Starting, State::Running),
        Errand::Reboot => (State::Rebooting, State::Running),
        Errand::Destroy => (State::Deleting, State::Gone),
    };
    let record = &mut emulator.0.world().records[machine];
    if record.state(now) == during {
        record.enter(now, if done { then } else { State::Failed }, None);
    }
}
