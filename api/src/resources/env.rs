//! Environment variables: the client's for all its apps, an app's, and a customer's.
//!
//! Invariant: the value of a secret is never shown again. Absent: which one counts (`environment`, and builds).

use poem_openapi::{Object, OpenApi, param::Path, payload::Json};
use shared::{
    domain::{AppId, ClientId, CustomerId, EnvName, Malformed},
    secrets::Place,
    store::{
        Tx, apps, clients, customers,
        env::{self, EnvScope, EnvVar, Owner},
    },
};

use super::Gone;
use crate::{
    app::{App, Here},
    auth::{Admin, Caller, Reader},
    openapi::Tag,
    page::Page,
    problem::Problem,
    typed::{Moment, Typed},
    words::Word,
};

const MAX_VALUE: usize = 64 * 1024;
const MAX_VARIABLES: i64 = 500;
/// All of an owner's values together, as stored: sealed ones are a third longer. They are copied into each deployment.
const MAX_TOTAL: i64 = 256 * 1024;

pub struct Env;

#[derive(Object)]
#[oai(deny_unknown_fields)]
struct EnvValue {
    value: String,
    /// `run` when absent.
    scope: Option<Word<EnvScope>>,
    /// A secret is stored sealed and never shown again. True when absent.
    secret: Option<bool>,
}

/// A variable. The value of a secret is absent.
#[derive(Object)]
#[oai(rename = "Env")]
struct EnvView {
    name: String,
    scope: Word<EnvScope>,
    secret: bool,
    #[oai(skip_serializing_if_is_none)]
    value: Option<String>,
    updated_at: Moment,
}

fn view(var: EnvVar) -> EnvView {
    EnvView {
        name: var.name.to_string(),
        scope: Word(var.scope),
        secret: var.secret,
        value: (!var.secret).then_some(var.stored),
        updated_at: Moment(var.updated_at),
    }
}

type All = Result<Json<Page<EnvView>>, Problem>;
type One = Result<Json<EnvView>, Problem>;

#[OpenApi(prefix_path = "/v1", tag = "Tag::Environment")]
impl Env {
    /// List the client's variables
    ///
    /// They are part of every app's environment; an app's or a customer's own count before them.
    /// Needs scope `read`.
    #[oai(path = "/env", method = "get", operation_id = "list_client_env")]
    async fn list_client(&self, caller: Reader, app: Here) -> All {
        all(&app, &caller, Owner::Client(caller.client)).await
    }

    /// Set a variable of the client
    ///
    /// The next build or deployment of each app uses it. Limits are those of an app's variables. Needs scope `admin`.
    #[oai(path = "/env/:name", method = "put", operation_id = "set_client_env")]
    async fn set_client(&self, caller: Admin, app: Here, name: Path<String>, body: Json<EnvValue>) -> One {
        set(&app, &caller, Owner::Client(caller.client), name.0, body.0).await
    }

    /// Remove a variable of the client
    ///
    /// Needs scope `admin`.
    #[oai(path = "/env/:name", method = "delete", operation_id = "delete_client_env")]
    async fn delete_client(&self, caller: Admin, app: Here, name: Path<Typed<EnvName>>) -> Result<Gone, Problem> {
        remove(&app, &caller, Owner::Client(caller.client), &name.0.0).await
    }

    /// List an app's variables
    ///
    /// Needs scope `read`.
    #[oai(path = "/apps/:app_id/env", method = "get", operation_id = "list_env")]
    async fn list_app(&self, caller: Reader, app: Here, app_id: Path<Typed<AppId>>) -> All {
        all(&app, &caller, Owner::App(app_id.0.0)).await
    }

    /// Set a variable
    ///
    /// The next build or deployment uses it. A value has at most 64 KiB; an app has at most 500 variables, which take at
    /// most 256 KiB together. Needs scope `admin`.
    #[oai(path = "/apps/:app_id/env/:name", method = "put", operation_id = "set_env")]
    async fn set_app(
        &self,
        caller: Admin,
        app: Here,
        app_id: Path<Typed<AppId>>,
        name: Path<String>,
        body: Json<EnvValue>,
    ) -> One {
        set(&app, &caller, Owner::App(app_id.0.0), name.0, body.0).await
    }

    /// Remove a variable
    ///
    /// Needs scope `admin`.
    #[oai(path = "/apps/:app_id/env/:name", method = "delete", operation_id = "delete_env")]
    async fn delete_app(
        &self,
        caller: Admin,
        app: Here,
        app_id: Path<Typed<AppId>>,
        name: Path<Typed<EnvName>>,
    ) -> Result<Gone, Problem> {
        remove(&app, &caller, Owner::App(app_id.0.0), &name.0.0).await
    }

    /// List a customer's variables
    ///
    /// They are part of the environment of what is deployed for the customer, and count before all others.
    /// Needs scope `read`.
    #[oai(path = "/customers/:customer_id/env", method = "get", operation_id = "list_customer_env")]
    async fn list_customer(&self, caller: Reader, app: Here, customer_id: Path<Typed<CustomerId>>) -> All {
        all(&app, &caller, Owner::Customer(customer_id.0.0)).await
    }

    /// Set a variable of a customer
    ///
    /// The customer's next deployment uses it; builds do not. Limits are those of an app's variables. Needs scope `admin`.
    #[oai(path = "/customers/:customer_id/env/:name", method = "put", operation_id = "set_customer_env")]
    async fn set_customer(
        &self,
        caller: Admin,
        app: Here,
        customer_id: Path<Typed<CustomerId>>,
        name: Path<String>,
        body: Json<EnvValue>,
    ) -> One {
        set(&app, &caller, Owner::Customer(customer_id.0.0), name.0, body.0).await
    }

    /// Remove a variable of a customer
    ///
    /// Needs scope `admin`.
    #[oai(path = "/customers/:customer_id/env/:name", method = "delete", operation_id = "delete_customer_env")]
    async fn delete_customer(
        &self,
        caller: Admin,
        app: Here,
        customer_id: Path<Typed<CustomerId>>,
        name: Path<Typed<EnvName>>,
    ) -> Result<Gone, Problem> {
        remove(&app, &caller, Owner::Customer(customer_id.0.0), &name.0.0).await
    }
}

async fn all(app: &App, caller: &Caller, owner: Owner) -> All {
    let (db, client) = (&app.db, caller.client);
    let (is_there, what) = match owner {
        Owner::Client(_) => (true, "client"),
        Owner::App(id) => (apps::get(db, client, id).await?.is_some(), "app"),
        Owner::Customer(id) => (customers::get(db, client, id).await?.is_some(), "customer"),
    };
    if !is_there {
        return Err(Problem::not_found(what));
    }
    let vars = env::list(db, client, owner).await?;
    Ok(Json(Page::whole(vars.into_iter().map(view).collect())))
}

/// Holds the owner, so that two requests at the same time do not both find room.
async fn hold(tx: &mut Tx, client: ClientId, owner: Owner) -> Result<(), Problem> {
    let (held, what) = match owner {
        Owner::Client(id) => (clients::lock(tx, id).await?, "client"),
        Owner::App(id) => (apps::lock(tx, client, id).await?, "app"),
        Owner::Customer(id) => (customers::lock(tx, client, id).await?, "customer"),
    };
    if held { Ok(()) } else { Err(Problem::not_found(what)) }
}

async fn set(app: &App, caller: &Caller, owner: Owner, name: String, body: EnvValue) -> One {
    // Not parsed as part of the path: a name that cannot be is a bad request, not a variable that does not exist.
    let name: EnvName = name.parse().map_err(|e: Malformed| Problem::invalid("invalid_name", e.to_string()))?;
    if body.value.len() > MAX_VALUE || body.value.contains('\0') {
        return Err(Problem::invalid("invalid_body", "A value has at most 64 KiB and no NUL."));
    }
    let scope = body.scope.map_or(EnvScope::Run, |scope| scope.0);
    if matches!(owner, Owner::Customer(_)) && scope.at_build() {
        return Err(Problem::invalid(
            "invalid_body",
            "A customer's variable has the scope `run`: images are made for all.",
        ));
    }
    let (client, secret) = (caller.client, body.secret.unwrap_or(true));
    let row = owner.place_row(&name);
    let place = Place { client, field: owner.field(), row: &row };
    let stored = if secret { app.config.master_key.seal(place, body.value.as_bytes())? } else { body.value };
    let var = EnvVar { client, owner, name, scope, secret, stored, updated_at: app.db.now_ms() };
    let mut tx = app.db.begin().await?;
    hold(&mut tx, client, owner).await?;
    env::put(&mut tx, &var).await?;
    let size = env::size(&mut tx, client, owner).await?;
    if size.variables > MAX_VARIABLES {
        return Err(Problem::conflict("too_many_variables", "There can be at most 500 variables."));
    }
    if size.bytes > MAX_TOTAL {
        return Err(Problem::conflict("env_too_large", "The variables take at most 256 KiB together."));
    }
    tx.commit().await?;
    Ok(Json(view(var)))
}

async fn remove(app: &App, caller: &Caller, owner: Owner, name: &EnvName) -> Result<Gone, Problem> {
    let mut tx = app.db.begin().await?;
    let removed = env::delete(&mut tx, caller.client, owner, name).await?;
    tx.commit().await?;
    if removed { Ok(Gone::Gone) } else { Err(Problem::not_found("variable")) }
}
