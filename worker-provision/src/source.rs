//! Where a server's machine comes from: made at once by a provider, or rented in a client's account.
//!
//! Invariant: the machine of a server that is rented is known by its `machines` rows alone. Absent: what is done to a
//! machine that answers.

use std::time::Duration;

use shared::{
    failure::Failure,
    providers::{
        Address, Host, Local, Provider, Wanted,
        cloud::{Catalog, Cloud, Machine},
    },
    store::{
        Fence, machines, provider_accounts as accounts,
        provider_accounts::{Account, AccountStatus},
        servers::{self, Monthly, Server},
        status_events,
    },
};
use tokio::time::{Instant, sleep};

use crate::{
    clouds::{self, InUse},
    rent::{Pace, Renter},
    run::ProvisionWorker,
    steps,
};

/// Between two looks at an account whose check is under way.
const UNCHECKED: Duration = Duration::from_secs(3);

/// The providers whose machines are rented.
const RENTED: [&str; 4] = ["hetzner", "digitalocean", "ovh", "aws"];

pub fn is_rented(server: &Server) -> bool {
    RENTED.contains(&server.provider.as_str())
}

/// Where one server's machine comes from.
pub enum Source {
    Simple(Box<dyn Provider>),
    Rented(Box<Rented>),
    /// Its account is of no use, and nothing of the server's stands there.
    Nowhere,
}

/// A server's account, in use.
pub struct Rented {
    account: Account,
    pub in_use: InUse,
    catalog: Catalog,
    pub pace: Pace,
    born: i64,
}

impl Rented {
    /// What a machine costs as it is shown.
    pub fn rate(&self, shown: &Machine) -> Option<machines::Rate> {
        clouds::rate(&self.catalog, &self.in_use.cloud.traits(), shown)
    }

    /// What a size costs in a full month, as the API expects it.
    pub fn monthly(&self, region: &str, size: &str) -> Option<Monthly> {
        let month = self.catalog.price(region, size)?.month()?;
        Some(Monthly { micros: month.micros, currency: month.currency })
    }
}

impl Source {
    /// Whether deleting removes the machine itself, and so everything on it.
    pub fn owns_machine(&self) -> bool {
        match self {
            Self::Simple(provider) => provider.owns_machine(),
            Self::Rented(_) | Self::Nowhere => true,
        }
    }

    /// Whether what is waited for takes so long that others should have the worker meanwhile.
    pub fn is_slow(&self) -> bool {
        matches!(self, Self::Rented(_)) || !self.owns_machine()
    }
}

impl ProvisionWorker {
    pub(crate) async fn source(&self, server: &Server) -> Result<Source, Failure> {
        match (server.provider.as_str(), &self.settings.local) {
            ("host", _) => Ok(Source::Simple(Box::new(Host))),
            ("local", Some(local)) => Ok(Source::Simple(Box::new(Local::new(local.clone())))),
            _ if is_rented(server) => self.rented(server).await.map(|r| Source::Rented(Box::new(r))),
            (other, _) => {
                Err(Failure::permanent("provider_missing", format!("this engine has no provider `{other}` set up")))
            }
        }
    }

    /// Where a server comes from that is to end: one that never stood anywhere needs no account for that.
    pub(crate) async fn source_of_end(&self, server: &Server) -> Result<Source, Failure> {
        match self.source(server).await {
            Err(_) if is_rented(server) && !steps::stands(&self.db, server).await? => Ok(Source::Nowhere),
            source => source,
        }
    }

    async fn rented(&self, server: &Server) -> Result<Rented, Failure> {
        let gone = || Failure::permanent("account_gone", "the server's account does not exist any more");
        let account = accounts::load(&self.db, server.account.ok_or_else(gone)?).await?.ok_or_else(gone)?;
        is_of_use(&account)?;
        let in_use = self.clouds.of(&account)?;
        let born = status_events::last_at(&self.db, server.id, "requested").await?.unwrap_or(server.created_at);
        let pace =
            self.settings.pace.clone().unwrap_or_else(|| Pace::of(&in_use.cloud.traits()).hastened(self.clouds.haste));
        Ok(Rented { catalog: clouds::catalog(&account), pace, born, account, in_use })
    }

    pub(crate) fn renter<'a>(
        &'a self,
        rented: &'a Rented,
        fence: Fence,
        server: &'a Server,
        wanted: Option<&'a Wanted>,
    ) -> Renter<'a> {
        Renter {
            db: &self.db,
            master: &self.settings.master_key,
            fence,
            cloud: rented.in_use.cloud.as_ref(),
            account: rented.account.id,
            install: &self.clouds.install,
            pace: &rented.pace,
            lineage: &self.settings.sweep.lineage,
            catalog: &rented.catalog,
            server: server.id,
            client: server.client,
            wanted,
            born: rented.born,
        }
    }

    /// Makes the server's machine, or finds it made, and tells where it answers.
    pub(crate) async fn machine_up(
        &self,
        source: &Source,
        fence: Fence,
        server: &Server,
        wanted: &Wanted,
    ) -> Result<Address, Failure> {
        match source {
            Source::Simple(provider) => {
                let reference = provider.create(wanted).await?;
                servers::set_provider_ref(&self.db, fence, wanted.server, &reference).await?;
                address(provider.as_ref(), wanted, self.settings.boot_limit).await
            }
            Source::Nowhere => Err(Failure::permanent("account_gone", "the server's account is of no use")),
            Source::Rented(rented) => {
                let address = self.renter(rented, fence, server, Some(wanted)).make().await?;
                let machines = machines::of_server(&self.db, wanted.server).await?;
                if let Some(reference) = machines.last().and_then(|m| m.remote_id.as_ref()) {
                    servers::set_provider_ref(&self.db, fence, wanted.server, reference).await?;
                }
                Ok(address)
            }
        }
    }

    /// Removes the server's machine and everything made for it. Done only once it is seen to be gone.
    pub(crate) async fn machine_down(&self, source: &Source, fence: Fence, server: &Server) -> Result<(), Failure> {
        match source {
            Source::Simple(provider) => Ok(provider.delete(server.id).await?),
            Source::Rented(rented) => self.renter(rented, fence, server, None).leave().await,
            Source::Nowhere => Ok(()),
        }
    }
}

/// Credentials are used for what they were checked for only: those of another account would show none of the machines that
/// stand in this one.
fn is_of_use(account: &Account) -> Result<(), Failure> {
    match account.status {
        AccountStatus::Ready | AccountStatus::Incomplete => Ok(()),
        AccountStatus::Unchecked => Err(Failure::Later(UNCHECKED)),
        AccountStatus::Refused => {
            let why = account.error_message.as_deref().unwrap_or("the cloud does not accept them");
            Err(Failure::permanent("account_refused", format!("the account's credentials are not used: {why}")))
        }
    }
}

async fn address(provider: &dyn Provider, wanted: &Wanted, limit: Duration) -> Result<Address, Failure> {
    let until = Instant::now() + limit;
    loop {
        match provider.address(wanted).await? {
            Some(address) => return Ok(address),
            None if Instant::now() < until => sleep(Duration::from_millis(100)).await,
            None => return Err(Failure::transient("no_address", "the server gets no address")),
        }
    }
}
