//! Customers: the end-customers of a client.

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use shared::{
    domain::{CustomerId, Slug},
    store::{
        customers::{self, Customer},
        env,
    },
};

use super::{
    Gone,
    names::{display_name, slug_taken},
};
use crate::{
    app::Here,
    auth::{Deployer, Reader},
    idempotency::{Begun, Created, Idempotency, begin},
    openapi::Tag,
    page::{Limit, Page},
    patch::Change,
    problem::Problem,
    quotas::{self, Counted},
    typed::{Moment, Typed},
};

pub struct Customers;

#[derive(Object)]
#[oai(deny_unknown_fields)]
struct NewCustomer {
    slug: Typed<Slug>,
    name: String,
}

/// What is absent stays.
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct CustomerChanges {
    slug: Change<Typed<Slug>>,
    name: Change<String>,
}

/// A customer.
#[derive(Object)]
#[oai(rename = "Customer")]
struct CustomerView {
    id: Typed<CustomerId>,
    slug: String,
    name: String,
    created_at: Moment,
}

fn view(customer: Customer) -> CustomerView {
    CustomerView {
        id: Typed(customer.id),
        slug: customer.slug.to_string(),
        name: customer.name,
        created_at: Moment(customer.created_at),
    }
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Customers")]
impl Customers {
    /// Add a customer
    ///
    /// Needs scope `deploy`.
    #[oai(path = "/customers", method = "post", operation_id = "create_customer")]
    async fn create(
        &self,
        caller: Deployer,
        app: Here,
        #[oai(name = "Idempotency-Key")] once: Idempotency,
        body: Json<NewCustomer>,
    ) -> Result<Created<CustomerView>, Problem> {
        let customer = Customer {
            id: CustomerId::new(),
            client: caller.client,
            slug: body.slug.0.clone(),
            name: display_name(&body.name)?,
            created_at: app.db.now_ms(),
        };
        let mut once = match begin(&app, caller.client, once).await? {
            Begun::Replay(answer) => return Ok(answer),
            Begun::New(once) => once,
        };
        customers::insert(&mut once.tx, &customer).await.map_err(slug_taken("a customer"))?;
        quotas::check(&app, &mut once.tx, caller.client, Counted::Customers).await?;
        once.finish(&app, format!("/v1/customers/{}", customer.id), view(customer)).await
    }

    /// List customers
    ///
    /// Needs scope `read`.
    #[oai(path = "/customers", method = "get", operation_id = "list_customers")]
    async fn list(
        &self,
        caller: Reader,
        app: Here,
        cursor: Query<Option<Typed<CustomerId>>>,
        limit: Query<Limit>,
    ) -> Result<Json<Page<CustomerView>>, Problem> {
        let rows = customers::list(&app.db, caller.client, cursor.0.map(|c| c.0), limit.rows()).await?;
        Ok(Json(limit.page(rows, |customer| customer.id.to_string(), view)))
    }

    /// Show a customer
    ///
    /// Needs scope `read`.
    #[oai(path = "/customers/:customer_id", method = "get", operation_id = "get_customer")]
    async fn get(
        &self,
        caller: Reader,
        app: Here,
        customer_id: Path<Typed<CustomerId>>,
    ) -> Result<Json<CustomerView>, Problem> {
        let found = customers::get(&app.db, caller.client, customer_id.0.0).await?;
        Ok(Json(view(found.ok_or_else(|| Problem::not_found("customer"))?)))
    }

    /// Change a customer
    ///
    /// Needs scope `deploy`.
    #[oai(path = "/customers/:customer_id", method = "patch", operation_id = "update_customer")]
    async fn update(
        &self,
        caller: Deployer,
        app: Here,
        customer_id: Path<Typed<CustomerId>>,
        body: Json<CustomerChanges>,
    ) -> Result<Json<CustomerView>, Problem> {
        let id = customer_id.0.0;
        let mut tx = app.db.begin().await?;
        let mut customer =
            customers::get(&mut tx, caller.client, id).await?.ok_or_else(|| Problem::not_found("customer"))?;
        if let Some(Typed(slug)) = body.0.slug.given() {
            customer.slug = slug;
        }
        if let Some(name) = body.0.name.given() {
            customer.name = display_name(&name)?;
        }
        customers::update(&mut tx, caller.client, id, &customer.slug, &customer.name)
            .await
            .map_err(slug_taken("a customer"))?;
        tx.commit().await?;
        Ok(Json(view(customer)))
    }

    /// Delete a customer
    ///
    /// Its servers have to be deleted before. Needs scope `deploy`.
    #[oai(path = "/customers/:customer_id", method = "delete", operation_id = "delete_customer")]
    async fn delete(&self, caller: Deployer, app: Here, customer_id: Path<Typed<CustomerId>>) -> Result<Gone, Problem> {
        let id = customer_id.0.0;
        let mut tx = app.db.begin().await?;
        if !customers::lock(&mut tx, caller.client, id).await? {
            return Err(Problem::not_found("customer"));
        }
        if !customers::delete(&mut tx, app.db.now_ms(), caller.client, id).await? {
            return Err(Problem::conflict("customer_in_use", "Delete the customer's servers first."));
        }
        env::delete_all(&mut tx, caller.client, env::Owner::Customer(id)).await?;
        tx.commit().await?;
        Ok(Gone::Gone)
    }
}
