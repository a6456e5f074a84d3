//! Machines with something behind them.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloud_emulator::{Backing, BackingResult, Clock, CloudKind, Emulator, Machine, Settings, State, known};
use serde_json::json;

/// Notes what it is asked for.
#[derive(Default)]
struct Notebook(Mutex<Vec<String>>);

impl Notebook {
    fn note(&self, what: &str, machine: &Machine) -> BackingResult<()> {
        self.0.lock().expect("nobody panics").push(format!("{what} {}", machine.name));
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        self.0.lock().expect("nobody panics").clone()
    }
}

#[async_trait::async_trait]
impl Backing for Notebook {
    async fn start(&self, machine: &Machine) -> BackingResult<IpAddr> {
        self.note("start", machine)?;
        if machine.name == "broken" { Err("no such image".into()) } else { Ok(IpAddr::from([10, 9, 8, 7])) }
    }
    async fn stop(&self, machine: &Machine) -> BackingResult<()> {
        self.note("stop", machine)
    }
    async fn start_again(&self, machine: &Machine) -> BackingResult<IpAddr> {
        self.note("start again", machine)?;
        Ok(IpAddr::from([10, 9, 8, 6]))
    }
    async fn reboot(&self, machine: &Machine) -> BackingResult<IpAddr> {
        self.note("reboot", machine)?;
        Ok(IpAddr::from([10, 9, 8, 5]))
    }
    async fn destroy(&self, machine: &Machine) -> BackingResult<()> {
        self.note("destroy", machine)
    }
}

async fn becomes(emulator: &Emulator, name: &str, state: State) -> Machine {
    for _ in 0..500 {
        let found = emulator.inventory().into_iter().find(|machine| machine.name == name && machine.state == state);
        if let Some(machine) = found {
            return machine;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("{name} never becomes {state:?}: {:?}", emulator.inventory());
}

async fn ask(emulator: &Emulator, method: &str, target: String, body: serde_json::Value) -> serde_json::Value {
    let token = format!("Bearer {}", known::HETZNER_TOKEN);
    let request = http::Request::builder().method(method).uri(target).header("authorization", token);
    let request = request.body(bytes::Bytes::from(body.to_string())).expect("a request is well formed");
    let reply = emulator.handle(CloudKind::Hetzner, request).await.reply().expect("nothing is cut");
    serde_json::from_slice(reply.body()).expect("replies are JSON")
}

#[tokio::test]
async fn a_machine_follows_its_backing() {
    let backing = Arc::new(Notebook::default());
    let settings = Settings { backing: Some(backing.clone()), ..Settings::instant() };
    let emulator = Emulator::new(Clock::system(), settings);
    let order = |name: &str| json!({"name": name, "server_type": "cx23", "image": "debian-12"});
    let said = ask(&emulator, "POST", "/v1/servers".to_owned(), order("a")).await;
    let (id, action) = (said["server"]["id"].clone(), said["action"]["id"].clone());
    let machine = becomes(&emulator, "a", State::Running).await;
    assert_eq!(machine.ipv4, Some(IpAddr::from([10, 9, 8, 7])));
    let done = ask(&emulator, "GET", format!("/v1/actions/{action}"), json!({})).await;
    assert_eq!(done["action"]["status"], "success");
    let path = format!("/v1/servers/{id}");
    for (command, then) in [("shutdown", State::Stopped), ("poweron", State::Running), ("reboot", State::Running)] {
        ask(&emulator, "POST", format!("{path}/actions/{command}"), json!({})).await;
        becomes(&emulator, "a", then).await;
    }
    let machine = becomes(&emulator, "a", State::Running).await;
    assert_eq!(machine.ipv4, Some(IpAddr::from([10, 9, 8, 5])), "its address is the backing's");
    ask(&emulator, "DELETE", path, json!({})).await;
    becomes(&emulator, "a", State::Gone).await;
    assert_eq!(backing.notes(), ["start a", "stop a", "start again a", "reboot a", "destroy a"]);

    ask(&emulator, "POST", "/v1/servers".to_owned(), order("broken")).await;
    becomes(&emulator, "broken", State::Failed).await;
    assert_eq!(emulator.live().len(), 1, "what failed is still there to be deleted");
}
