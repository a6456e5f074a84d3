//! The emulator by itself, for clients written by others and for scripts.
//!
//! Invariant: it prints the addresses of its clouds as one line of JSON, serves until it is told to end, and leaves no
//! machine behind. Absent: settings; everybody gets the known accounts.

mod containers;
mod first_boot;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use cloud_emulator::{Backing, Clock, CloudKind, Emulator, Settings, serve};
use containers::Containers;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const USAGE: &str =
    "usage: cloud-emulator (--cloud aws|digitalocean|hetzner|ovh [--listen ADDRESS])... [--instant|--fast]
       [--unmetered] [--backing docker --image IMAGE [--mark MARK]]
  --fast      everything takes a tenth of its usual time
  --unmetered without budgets of requests
  --backing   a container behind each machine, in the engine of BYOP_LOCAL_ENGINE, DOCKER_HOST, or this machine's; MARK
              names the containers, and those of an earlier emulator with it are removed";

#[derive(Default)]
struct Options {
    clouds: Vec<(CloudKind, String)>,
    instant: bool,
    fast: bool,
    unmetered: bool,
    backed: bool,
    image: Option<String>,
    mark: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut options = options(std::env::args().skip(1))?;
    let clouds = std::mem::take(&mut options.clouds);
    let containers = containers(&options).await?;
    let mut settings = if options.instant { Settings::instant() } else { Settings::default() };
    if options.fast {
        settings = settings.faster(10);
    }
    if options.unmetered {
        settings.enforce_rates = false;
    }
    settings.backing = containers.clone().map(|containers| containers as Arc<dyn Backing>);
    let emulator = Emulator::new(Clock::system(), settings);
    let mut servers = BTreeMap::new();
    for (cloud, address) in clouds {
        let listener = TcpListener::bind(address).await?;
        servers.insert(cloud.name(), serve(emulator.clone(), cloud, listener).await);
    }
    let urls: BTreeMap<_, _> = servers.iter().map(|(cloud, server)| (cloud, server.url())).collect();
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&urls)?)?;
    told_to_end(interrupt, terminate).await;
    drop(servers);
    match containers {
        Some(containers) => containers.end().await,
        None => Ok(()),
    }
}

async fn told_to_end(mut interrupt: Signal, mut terminate: Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

async fn containers(options: &Options) -> Result<Option<Arc<Containers>>, Failure> {
    if !options.backed {
        return Ok(None);
    }
    let image = options.image.clone().ok_or(USAGE)?;
    let mark = options.mark.clone().unwrap_or_else(|| format!("emulator-{}", std::process::id()));
    let engine = std::env::var("BYOP_LOCAL_ENGINE").ok().filter(|engine| !engine.is_empty());
    Ok(Some(Arc::new(Containers::new(engine, image, mark).await?)))
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, Failure> {
    let mut options = Options::default();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(USAGE);
        match argument.as_str() {
            "--instant" => options.instant = true,
            "--fast" => options.fast = true,
            "--unmetered" => options.unmetered = true,
            "--cloud" => options.clouds.push((value()?.parse()?, "127.0.0.1:0".to_owned())),
            "--listen" => options.clouds.last_mut().ok_or(USAGE)?.1 = value()?,
            "--backing" if value()? == "docker" => options.backed = true,
            "--image" => options.image = Some(value()?),
            "--mark" => options.mark = Some(value()?),
            _ => return Err(USAGE.into()),
        }
    }
    if options.clouds.is_empty() { Err(USAGE.into()) } else { Ok(options) }
}
