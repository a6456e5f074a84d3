//! Environment variables: of a client for all its apps, of an app, and of a customer.
//!
//! Invariant: a secret's value is stored sealed for its owner and name and leaves this module sealed. Absent: who may see
//! what, and which owner's value counts; [`EnvVar::open`] is for builds and for the freezing of a deployment's environment.

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::{DbError, On, Row, Tx, sql};
use crate::{
    domain::{AppId, ClientId, CustomerId, EnvName},
    secrets::{MasterKey, Place, Sealed},
};

/// Whose variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Client(ClientId),
    App(AppId),
    Customer(CustomerId),
}

/// Where a variable is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvScope {
    /// While the image is built, as a build secret.
    Build,
    /// In the container.
    Run,
    Both,
}

impl EnvScope {
    pub const ALL: &'static [Self] = &[Self::Build, Self::Run, Self::Both];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Run => "run",
            Self::Both => "both",
        }
    }

    pub fn at_build(self) -> bool {
        self != Self::Run
    }

    pub fn at_run(self) -> bool {
        self != Self::Build
    }
}

/// A stored variable.
#[derive(Clone, Debug)]
pub struct EnvVar {
    pub client: ClientId,
    pub owner: Owner,
    pub name: EnvName,
    pub scope: EnvScope,
    pub secret: bool,
    /// The text itself, or sealed when `secret`.
    pub stored: String,
    pub updated_at: i64,
}

/// The statements about one table.
struct Statements {
    put: &'static str,
    list: &'static str,
    size: &'static str,
    delete: &'static str,
    delete_all: &'static str,
}

macro_rules! statements {
    ($table:literal, $owner:literal) => {
        Statements {
            put: concat!(
                "insert into ",
                $table,
                " (",
                $owner,
                ", name, client_id, scope, secret, value, updated_at)
                 values ($1, $2, $3, $4, $5, $6, $7)
                 on conflict (",
                $owner,
                ", name) do update set scope = excluded.scope, secret = excluded.secret,
                   value = excluded.value, updated_at = excluded.updated_at
                 where ",
                $table,
                ".client_id = excluded.client_id"
            ),
            list: concat!(
                "select name, client_id, scope, secret, value, updated_at from ",
                $table,
                "
                 where ",
                $owner,
                " = $1 and client_id = $2 order by name"
            ),
            size: concat!(
                "select count(*) as variables, cast(coalesce(sum(octet_length(value)), 0) as bigint) as bytes from ",
                $table,
                " where ",
                $owner,
                " = $1 and client_id = $2"
            ),
            delete: concat!("delete from ", $table, " where ", $owner, " = $1 and client_id = $2 and name = $3"),
            delete_all: concat!("delete from ", $table, " where ", $owner, " = $1 and client_id = $2"),
        }
    };
}

const APP: Statements = statements!("app_env", "app_id");
const SHARED: Statements = statements!("shared_env", "owner_id");

impl Owner {
    fn statements(self) -> &'static Statements {
        match self {
            Self::App(_) => &APP,
            Self::Client(_) | Self::Customer(_) => &SHARED,
        }
    }

    fn id(self) -> String {
        match self {
            Self::Client(id) => id.to_string(),
            Self::App(id) => id.to_string(),
            Self::Customer(id) => id.to_string(),
        }
    }

    /// The row part of the [`Place`] that a secret value is sealed for.
    pub fn place_row(self, name: &EnvName) -> String {
        format!("{}/{name}", self.id())
    }

    /// The field part of that place.
    pub fn field(self) -> &'static str {
        match self {
            Self::App(_) => "app_env.value",
            Self::Client(_) | Self::Customer(_) => "shared_env.value",
        }
    }
}

impl EnvVar {
    /// The value in clear.
    pub fn open(&self, key: &MasterKey) -> Result<SecretString, Sealed> {
        if !self.secret {
            return Ok(self.stored.clone().into());
        }
        let row = self.owner.place_row(&self.name);
        key.open_text(Place { client: self.client, field: self.owner.field(), row: &row }, &self.stored)
    }
}

/// Sets a variable, new or known.
pub async fn put(tx: &mut Tx, var: &EnvVar) -> Result<(), DbError> {
    sql(var.owner.statements().put)
        .text(var.owner.id())
        .text(&var.name)
        .text(var.client)
        .text(var.scope.as_str())
        .int(var.secret.into())
        .text(&var.stored)
        .int(var.updated_at)
        .execute(tx)
        .await
        .map(|_| ())
}

/// An owner's variables, by name.
pub async fn list(on: impl Into<On<'_>>, client: ClientId, owner: Owner) -> Result<Vec<EnvVar>, DbError> {
    sql(owner.statements().list).text(owner.id()).text(client).fetch_all(on, |r| read(owner, r)).await
}

/// How much an owner's variables take, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub variables: i64,
    pub bytes: i64,
}

/// Counts without reading a value.
pub async fn size(on: impl Into<On<'_>>, client: ClientId, owner: Owner) -> Result<Size, DbError> {
    sql(owner.statements().size)
        .text(owner.id())
        .text(client)
        .fetch_one(on, |r| Ok(Size { variables: r.int("variables")?, bytes: r.int("bytes")? }))
        .await
}

pub async fn delete(tx: &mut Tx, client: ClientId, owner: Owner, name: &EnvName) -> Result<bool, DbError> {
    Ok(sql(owner.statements().delete).text(owner.id()).text(client).text(name).execute(tx).await? == 1)
}

/// What counts of several owners' variables where `used` says that they are used: of one name, the last owner's.
pub fn merged(owners: impl IntoIterator<Item = Vec<EnvVar>>, used: fn(EnvScope) -> bool) -> Vec<EnvVar> {
    let all = owners.into_iter().flatten().filter(|var| used(var.scope));
    let by_name: BTreeMap<String, EnvVar> = all.map(|var| (var.name.to_string(), var)).collect();
    by_name.into_values().collect()
}

/// Forgets everything of an owner.
pub async fn delete_all(tx: &mut Tx, client: ClientId, owner: Owner) -> Result<u64, DbError> {
    sql(owner.statements().delete_all).text(owner.id()).text(client).execute(tx).await
}

fn read(owner: Owner, r: &Row) -> Result<EnvVar, DbError> {
    let scope = r.text("scope")?;
    Ok(EnvVar {
        client: r.parse("client_id")?,
        owner,
        name: r.parse("name")?,
        scope: match scope.as_str() {
            "build" => EnvScope::Build,
            "run" => EnvScope::Run,
            "both" => EnvScope::Both,
            _ => return Err(DbError::Corrupt { column: "scope", value: scope }),
        },
        secret: r.int("secret")? != 0,
        stored: r.text("value")?,
        updated_at: r.int("updated_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_owner_that_uses_a_name_counts() {
        let var = |owner, name: &str, scope| EnvVar {
            client: ClientId(Default::default()),
            owner,
            name: name.parse().expect("a name"),
            scope,
            secret: false,
            stored: String::new(),
            updated_at: 0,
        };
        let (client, app) = (Owner::Client(ClientId::new()), Owner::App(AppId::new()));
        let customer = Owner::Customer(CustomerId::new());
        let owners = || {
            [
                vec![
                    var(client, "A", EnvScope::Both),
                    var(client, "B", EnvScope::Run),
                    var(client, "C", EnvScope::Run),
                ],
                vec![var(app, "A", EnvScope::Build), var(app, "B", EnvScope::Run)],
                vec![var(customer, "B", EnvScope::Both)],
            ]
        };
        let counts = |used| -> Vec<(String, Owner)> {
            merged(owners(), used).into_iter().map(|v| (v.name.to_string(), v.owner)).collect()
        };
        let named = |name: &str, owner| (name.to_owned(), owner);
        assert_eq!(counts(EnvScope::at_run), [named("A", client), named("B", customer), named("C", client)]);
        assert_eq!(counts(EnvScope::at_build), [named("A", app), named("B", customer)]);
    }
}
