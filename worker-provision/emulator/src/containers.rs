//! A privileged container with its own sshd and Docker behind each emulated machine.
//!
//! Invariants: container and volume are named by the machine and labelled with the emulator's mark, and nothing with
//! that mark is left when the emulator has ended; the user-data is applied before the machine's sshd starts. Absent:
//! sizes, all machines are as large as the engine.

use std::io::Write;
use std::net::IpAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cloud_emulator::{Backing, BackingResult, Machine};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::RwLock;

use crate::first_boot::first_boot;

const LABEL: &str = "byop.emulator";
const PLACE: &str = "var/lib/cloud/instance";
const BOOT_LIMIT: Duration = Duration::from_secs(60);

/// The first process: what is to be done once, then the image's own.
const INIT: &str = "set -eu; cd /var/lib/cloud/instance
[ -e boot-finished ] || { sh first-boot.sh; : >boot-finished; }
exec /sbin/byop-init";

/// Machines as containers of one Docker engine.
pub struct Containers {
    /// `None`: the one that the Docker CLI chooses.
    engine: Option<String>,
    image: String,
    mark: String,
    ended: AtomicBool,
    /// Held by whatever works on machines, so that the end can wait for it.
    at_work: RwLock<()>,
}

impl Containers {
    /// Removes what a killed emulator with this mark has left.
    pub async fn new(engine: Option<String>, image: String, mark: String) -> BackingResult<Self> {
        let containers = Self { engine, image, mark, ended: AtomicBool::new(false), at_work: RwLock::default() };
        containers.clear().await?;
        Ok(containers)
    }

    /// Removes everything; nothing is made any more.
    pub async fn end(&self) -> BackingResult<()> {
        self.ended.store(true, Ordering::SeqCst);
        let _all = self.at_work.write().await;
        self.clear().await
    }

    async fn clear(&self) -> BackingResult<()> {
        let label = format!("label={LABEL}={}", self.mark);
        let lists: [(&[&str], &[&str]); 2] =
            [(&["ps", "-aq"], &["rm", "-f", "-v"]), (&["volume", "ls", "-q"], &["volume", "rm", "-f"])];
        for (list, remove) in lists {
            let found = self.docker(&[list, &["--filter", &label]].concat(), None).await?;
            let found: Vec<_> = found.split_whitespace().collect();
            if !found.is_empty() {
                self.docker(&[remove, &found].concat(), None).await?;
            }
        }
        Ok(())
    }

    async fn docker(&self, argv: &[&str], input: Option<&[u8]>) -> BackingResult<String> {
        let mut command = Command::new("docker");
        command.args(self.engine.iter().flat_map(|engine| ["--host", engine])).args(argv);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.unwrap_or_default()).await?;
        }
        let output = child.wait_with_output().await?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if output.status.success() {
            return Ok(said);
        }
        let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(format!("docker {}: {error}", argv.first().unwrap_or(&"")).into())
    }

    fn name(&self, machine: &Machine) -> String {
        format!("{}-{}-{}", self.mark, machine.cloud.name(), machine.id)
    }

    async fn create(&self, machine: &Machine) -> BackingResult<()> {
        let (name, boot) = (self.name(machine), first_boot(&machine.user_data)?);
        let label = format!("{LABEL}={}", self.mark);
        self.docker(&["volume", "create", "--label", &label, &name], None).await?;
        let hostname = boot.hostname.as_deref().unwrap_or(&name);
        let volume = format!("{name}:/var/lib/docker");
        let mut argv = vec!["create", "--name", &name, "--label", &label, "--hostname", hostname, "--volume", &volume];
        argv.extend(["--tmpfs", "/run:exec,mode=755", "--tmpfs", "/tmp:exec,mode=1777"]);
        argv.extend(["--privileged", "--pull", "never", "--entrypoint", "/bin/sh", &self.image, "-c", INIT]);
        self.docker(&argv, None).await?;
        let to = format!("{name}:/");
        self.docker(&["cp", "-q", "-", &to], Some(&archive(&boot.script)?)).await?;
        self.docker(&["start", &name], None).await?;
        Ok(())
    }

    /// Waits until the first start is done; its address then.
    async fn booted(&self, machine: &Machine) -> BackingResult<IpAddr> {
        let (name, finished, until) =
            (self.name(machine), format!("/{PLACE}/boot-finished"), Instant::now() + BOOT_LIMIT);
        loop {
            if self.docker(&["exec", &name, "test", "-e", &finished], None).await.is_ok() {
                return self.address(&name).await;
            }
            let running = self.docker(&["inspect", "-f", "{{.State.Running}}", &name], None).await?;
            if running != "true" || Instant::now() > until || self.ended.load(Ordering::SeqCst) {
                let said = self.docker(&["logs", "--tail", "5", &name], None).await?;
                return Err(format!("{name} does not boot: {said}").into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn address(&self, name: &str) -> BackingResult<IpAddr> {
        const ADDRESS: &str = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        Ok(self.docker(&["inspect", "-f", ADDRESS, name], None).await?.parse()?)
    }

    /// One errand, unless the end has come; what goes wrong is told, since a cloud would keep it to itself.
    async fn work<T>(&self, machine: &Machine, errand: impl Future<Output = BackingResult<T>>) -> BackingResult<T> {
        let _one = self.at_work.read().await;
        if self.ended.load(Ordering::SeqCst) {
            return Err("the emulator ends".into());
        }
        let result = errand.await;
        if let Err(error) = &result {
            // A standard error that is closed keeps no machine from anything.
            let _ = writeln!(std::io::stderr(), "{}: {error}", self.name(machine));
        }
        result
    }
}

#[async_trait::async_trait]
impl Backing for Containers {
    async fn start(&self, machine: &Machine) -> BackingResult<IpAddr> {
        self.work(machine, async {
            self.create(machine).await?;
            self.booted(machine).await
        })
        .await
    }

    async fn stop(&self, machine: &Machine) -> BackingResult<()> {
        self.work(machine, async { self.docker(&["stop", &self.name(machine)], None).await.map(drop) }).await
    }

    async fn start_again(&self, machine: &Machine) -> BackingResult<IpAddr> {
        self.work(machine, async {
            self.docker(&["start", &self.name(machine)], None).await?;
            self.booted(machine).await
        })
        .await
    }

    async fn reboot(&self, machine: &Machine) -> BackingResult<IpAddr> {
        self.work(machine, async {
            self.docker(&["restart", &self.name(machine)], None).await?;
            self.booted(machine).await
        })
        .await
    }

    async fn destroy(&self, machine: &Machine) -> BackingResult<()> {
        let name = self.name(machine);
        self.work(machine, async {
            self.docker(&["rm", "-f", "-v", &name], None).await?;
            self.docker(&["volume", "rm", "-f", &name], None).await.map(drop)
        })
        .await
    }
}

fn archive(script: &str) -> BackingResult<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o600);
    header.set_size(u64::try_from(script.len())?);
    archive.append_data(&mut header, format!("{PLACE}/first-boot.sh"), script.as_bytes())?;
    Ok(archive.into_inner()?)
}
