//! How a server begins: where it comes from, and what it is to be.
//!
//! Invariants: a rented server is one that its account can have, as far as that is known, and that the client's spending
//! cap has room for; the client has no say in who logs in to it. Absent: making it.

use poem_openapi::{Object, OpenApi, payload::Json};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use shared::{
    domain::{AccountId, ClientId, CustomerId, HostAddress, LoginName, RegionCode, ServerId, SizeCode},
    secrets::Place,
    ssh::generate_key,
    store::{
        Tx, customers,
        provider_accounts::{self as accounts, Account, AccountStatus},
        servers::{self, Monthly, NewServer},
    },
};

use super::{
    catalogs,
    names::public_key,
    servers::{Provider, ServerView, location, view},
    work,
};
use crate::{
    app::{App, Here},
    auth::Deployer,
    idempotency::{Accepted, Begun, Idempotency, begin},
    openapi::Tag,
    problem::Problem,
    quotas::{self, Counted, Spending},
    typed::Typed,
};

pub struct ServerOrders;

/// The login on machines that are rented.
const RENTED_USER: &str = "byop";
const FALLBACKS: usize = 5;

/// A machine of the client's own.
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct HostMachine {
    address: Typed<HostAddress>,
    /// 22 when absent.
    #[oai(validator(minimum(value = "1")))]
    port: Option<u16>,
    /// `root` when absent.
    user: Option<Typed<LoginName>>,
    /// The machine's SSH host key: type and base64. No other key is ever accepted.
    host_key: String,
}

#[derive(Object)]
#[oai(deny_unknown_fields)]
struct NewServerRequest {
    customer_id: Typed<CustomerId>,
    provider: Provider,
    /// Needed for, and only for, the provider `host`.
    host: Option<HostMachine>,
    /// For the provider `local` only.
    #[oai(validator(minimum(value = "256"), maximum(value = "1048576")))]
    memory_mb: Option<u32>,
    /// For the provider `local` only.
    #[oai(validator(minimum(value = "100"), maximum(value = "256000")))]
    milli_cpus: Option<u32>,
    /// The account at the cloud in which the server is rented. Needed for, and only for, clouds; `region` and `size` too.
    account_id: Option<Typed<AccountId>>,
    /// One of the account's catalog.
    region: Option<Typed<RegionCode>>,
    /// One of the account's catalog that can be had in the region.
    size: Option<Typed<SizeCode>>,
    /// For clouds only: other sizes, in this order, when the cloud has no room for the first. At most 5.
    #[oai(validator(max_items = 5))]
    fallback_sizes: Option<Vec<Typed<SizeCode>>>,
}

/// What is chosen about a server, as the providers read it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Chosen {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    memory_mb: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    milli_cpus: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback_sizes: Vec<String>,
}

/// Where the server comes from.
enum Source {
    Local { memory_mb: Option<u32>, milli_cpus: Option<u32> },
    Host(HostMachine),
    Rented(Rented),
}

struct Rented {
    account: AccountId,
    region: RegionCode,
    /// The first choice, then the others.
    sizes: Vec<SizeCode>,
}

fn invalid(detail: &str) -> Problem {
    Problem::invalid("invalid_body", detail)
}

impl NewServerRequest {
    /// What the provider needs, and nothing that it does not know.
    fn source(self) -> Result<Source, Problem> {
        let own_limits = self.memory_mb.is_some() || self.milli_cpus.is_some();
        let cloud = self.account_id.is_some() || self.region.is_some() || self.size.is_some();
        let cloud = cloud || self.fallback_sizes.is_some();
        if own_limits && self.provider != Provider::Local {
            return Err(invalid("`memory_mb` and `milli_cpus` are for the provider `local` only."));
        }
        if cloud && matches!(self.provider, Provider::Local | Provider::Host) {
            return Err(invalid("`account_id`, `region`, `size` and `fallback_sizes` are for clouds only."));
        }
        match (self.provider, self.host) {
            (Provider::Local, None) => Ok(Source::Local { memory_mb: self.memory_mb, milli_cpus: self.milli_cpus }),
            (Provider::Host, Some(host)) => Ok(Source::Host(host)),
            (Provider::Local | Provider::Host, _) | (_, Some(_)) => {
                Err(invalid("`host` is needed for, and only for, the provider `host`."))
            }
            (_, None) => rented(self.account_id, self.region, self.size, self.fallback_sizes).map(Source::Rented),
        }
    }
}

fn rented(
    account: Option<Typed<AccountId>>,
    region: Option<Typed<RegionCode>>,
    size: Option<Typed<SizeCode>>,
    fallbacks: Option<Vec<Typed<SizeCode>>>,
) -> Result<Rented, Problem> {
    let (Some(account), Some(region), Some(size)) = (account, region, size) else {
        return Err(invalid("A cloud needs `account_id`, `region` and `size`."));
    };
    let mut sizes = vec![size.0];
    for Typed(fallback) in fallbacks.unwrap_or_default() {
        if sizes.contains(&fallback) || sizes.len() > FALLBACKS {
            return Err(invalid("`fallback_sizes` are at most 5 other sizes, each once."));
        }
        sizes.push(fallback);
    }
    Ok(Rented { account: account.0, region: region.0, sizes })
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Servers")]
impl ServerOrders {
    /// Provision a server
    ///
    /// Needs scope `deploy`.
    #[oai(path = "/servers", method = "post", operation_id = "create_server")]
    async fn create(
        &self,
        caller: Deployer,
        app: Here,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
        body: Json<NewServerRequest>,
    ) -> Result<Accepted<ServerView>, Problem> {
        let (client, customer, provider) = (caller.client, body.0.customer_id.0, body.0.provider);
        let blank = blank(client, customer, provider);
        let source = body.0.source()?;
        let mut once = match begin(&app, client, once).await? {
            Begun::Replay(answer) => return Ok(answer),
            Begun::New(once) => once,
        };
        let tx = &mut once.tx;
        if !customers::lock(tx, client, customer).await? {
            return Err(Problem::not_found("customer"));
        }
        let new = match source {
            Source::Local { memory_mb, milli_cpus } => {
                chosen(blank, &Chosen { memory_mb, milli_cpus, ..Chosen::default() })
            }
            Source::Host(host) => own_machine(&app, blank, host)?,
            Source::Rented(wanted) => rent(tx, provider, blank, wanted).await?,
        };
        servers::insert(tx, &app.db, &new).await?;
        quotas::check(&app, tx, client, Counted::Servers).await?;
        if new.account.is_some() {
            quotas::check_spending(&app, tx, client, Spending { before: None, after: new.monthly.as_ref() }).await?;
        }
        let made = work::on_server(&app, tx, client, new.id).await?;
        once.finish(&app, location(new.id), view(made)).await
    }
}

fn blank(client: ClientId, customer: CustomerId, provider: Provider) -> NewServer {
    NewServer {
        id: ServerId::new(),
        client,
        customer,
        provider: provider.as_str().into(),
        spec: "{}".into(),
        address: None,
        ssh_port: 22,
        ssh_user: "root".into(),
        host_public_key: None,
        login_public_key: None,
        login_private_key_sealed: None,
        account: None,
        monthly: None,
    }
}

fn chosen(new: NewServer, chosen: &Chosen) -> NewServer {
    NewServer { spec: serde_json::json!(chosen).to_string(), ..new }
}

/// The key that logs in is made here, so that no key of the client's ever comes to us.
fn own_machine(app: &App, new: NewServer, host: HostMachine) -> Result<NewServer, Problem> {
    if !app.config.dev_mode && host.address.0.names_private_address() {
        return Err(Problem::invalid("private_address", "The machine's address is not on the public internet."));
    }
    let pair = generate_key(&format!("byop-{}", new.id)).map_err(|_| Problem::internal())?;
    let row = new.id.to_string();
    let place = Place { client: new.client, field: servers::LOGIN_KEY_FIELD, row: &row };
    let sealed = app.config.master_key.seal(place, pair.private.expose_secret().as_bytes())?;
    Ok(NewServer {
        address: Some(host.address.0.to_string()),
        ssh_port: host.port.unwrap_or(22).into(),
        ssh_user: host.user.map_or_else(|| "root".into(), |user| user.0.to_string()),
        host_public_key: Some(public_key(&host.host_key)?),
        login_public_key: Some(pair.public),
        login_private_key_sealed: Some(sealed),
        ..new
    })
}

/// A machine in an account of the client's, which is held so that it is not deleted meanwhile.
async fn rent(tx: &mut Tx, provider: Provider, new: NewServer, wanted: Rented) -> Result<NewServer, Problem> {
    accounts::lock(tx, new.client, wanted.account).await?;
    let account = accounts::get(tx, new.client, wanted.account).await?;
    let account = account.ok_or_else(|| Problem::not_found("provider account"))?;
    is_fit(&account, provider)?;
    let monthly = monthly(&account, &wanted.region, &wanted.sizes)?;
    let mut sizes = wanted.sizes.into_iter().map(String::from);
    let spec = Chosen {
        region: Some(wanted.region.into()),
        size: sizes.next(),
        fallback_sizes: sizes.collect(),
        ..Chosen::default()
    };
    Ok(NewServer { ssh_user: RENTED_USER.into(), account: Some(account.id), monthly, ..chosen(new, &spec) })
}

fn is_fit(account: &Account, provider: Provider) -> Result<(), Problem> {
    if account.provider != provider.as_str() {
        return Err(invalid("The account is at another provider."));
    }
    let detail = match (&account.credentials_sealed, account.status) {
        (None, _) => "The account has no credentials yet.",
        (_, AccountStatus::Refused) => "The cloud refused the account's credentials. Change them, or ask for a check.",
        _ => return Ok(()),
    };
    Err(Problem::conflict("account_not_ready", detail))
}

/// What a server of one of these sizes is expected to cost: the dearest, where the account's catalog tells them all.
pub fn monthly(account: &Account, region: &RegionCode, sizes: &[SizeCode]) -> Result<Option<Monthly>, Problem> {
    let Some(catalog) = catalogs::stored(account)? else { return Ok(None) };
    Ok(catalogs::dearest(catalogs::choose(&catalog, region, sizes)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_is_written_as_the_providers_read_it() {
        assert_eq!(serde_json::json!(Chosen::default()).to_string(), "{}");
        let spec = r#"{"fallback_sizes":["cx32"],"region":"fsn1","size":"cx22"}"#;
        let read: Chosen = serde_json::from_str(spec).expect("read");
        assert_eq!(serde_json::json!(read).to_string(), spec);
    }
}
