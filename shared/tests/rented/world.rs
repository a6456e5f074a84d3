//! A client with an account, a server in it, and a job that runs.

use shared::{
    domain::{AccountId, ClientId, CustomerId, JobId, MachineId, ServerId, status::MachineState as State},
    queue::{JobKind, NewJob, enqueue},
    store::{
        Db, Fence,
        machines::{self, Change, NewMachine, NewOrder, Rate},
        provider_accounts::{self as accounts, Changes, NewAccount},
        scratch::Scratch,
        servers::{self, Monthly, Wish},
        sql,
    },
};

pub struct World {
    pub db: Db,
    pub client: ClientId,
    pub account: AccountId,
    pub server: ServerId,
    pub fence: Fence,
}

/// A client with an account that has credentials, a server in it, and a job that runs.
pub async fn world(scratch: &Scratch) -> World {
    let db = scratch.db.clone();
    let (client, customer) = (ClientId::new(), CustomerId::new());
    let insert = |text, ids: &[String]| ids.iter().fold(sql(text), |s, id| s.text(id)).execute(&db);
    insert("insert into clients (id, name, created_at) values ($1, 'c', 0)", &[client.to_string()]).await.unwrap();
    let customers = "insert into customers (id, client_id, slug, name, created_at) values ($1, $2, 's', 'n', 0)";
    insert(customers, &[customer.to_string(), client.to_string()]).await.unwrap();
    let account = add_account(&db, client, Some("sealed-1")).await;
    let server = add_server(&db, client, customer, account, Some(euros(4))).await;
    let mut tx = db.begin().await.unwrap();
    let job = enqueue(&mut tx, &db, &NewJob::new(JobKind::Account, account, client)).await.unwrap().id();
    tx.commit().await.unwrap();
    let world = World { db, client, account, server, fence: Fence { job, attempt: 1 } };
    world.claim(job, 1).await;
    world
}

pub fn euros(units: i64) -> Monthly {
    Monthly { micros: units * 1_000_000, currency: "EUR".into() }
}

pub async fn add_account(db: &Db, client: ClientId, sealed: Option<&str>) -> AccountId {
    let id = AccountId::new();
    let new = NewAccount {
        id,
        client,
        name: "main".into(),
        provider: "hetzner".into(),
        credentials_sealed: sealed.map(str::to_owned),
        external_id: None,
    };
    let mut tx = db.begin().await.unwrap();
    accounts::insert(&mut tx, db, &new).await.unwrap();
    tx.commit().await.unwrap();
    id
}

pub async fn add_server(
    db: &Db,
    client: ClientId,
    customer: CustomerId,
    account: AccountId,
    monthly: Option<Monthly>,
) -> ServerId {
    let id = ServerId::new();
    let new = servers::NewServer {
        id,
        client,
        customer,
        provider: "hetzner".into(),
        account: Some(account),
        monthly,
        spec: r#"{"region":"fsn1","size":"cx22"}"#.into(),
        address: None,
        ssh_port: 22,
        ssh_user: "byop".into(),
        host_public_key: None,
        login_public_key: None,
        login_private_key_sealed: None,
    };
    let mut tx = db.begin().await.unwrap();
    servers::insert(&mut tx, db, &new).await.unwrap();
    tx.commit().await.unwrap();
    id
}

impl World {
    pub async fn claim(&self, job: JobId, attempt: i64) {
        sql("update jobs set state = 'running', attempt = $1, lease_owner = 't', lease_until = 0 where id = $2")
            .int(attempt)
            .text(job)
            .execute(&self.db)
            .await
            .unwrap();
    }

    /// The fence of an attempt that lost its job.
    pub fn stale(&self) -> Fence {
        Fence { attempt: self.fence.attempt - 1, ..self.fence }
    }

    pub async fn account(&self) -> accounts::Account {
        accounts::load(&self.db, self.account).await.unwrap().unwrap()
    }

    pub async fn change(&self, changes: Changes<'_>) -> bool {
        let mut tx = self.db.begin().await.unwrap();
        let done = accounts::change(&mut tx, &self.db, self.client, self.account, changes).await.unwrap();
        tx.commit().await.unwrap();
        done
    }

    pub async fn delete_account(&self) -> bool {
        let mut tx = self.db.begin().await.unwrap();
        let done = accounts::delete(&mut tx, &self.db, self.client, self.account).await.unwrap();
        tx.commit().await.unwrap();
        done
    }

    pub async fn set_server(&self, status: &str) {
        let set = sql("update servers set status = $1 where id = $2").text(status).text(self.server);
        set.execute(&self.db).await.unwrap();
    }

    pub async fn intend(&self, generation: i64) -> MachineId {
        let new = new_machine(self, generation);
        assert!(machines::insert(&self.db, &self.db, self.fence, &new).await.unwrap());
        new.id
    }

    pub fn machine(&self, id: MachineId) -> Change<'_> {
        Change { db: &self.db, fence: self.fence, id }
    }

    pub async fn state(&self, id: MachineId) -> State {
        let all = machines::of_server(&self.db, self.server).await.unwrap();
        all.into_iter().find(|m| m.id == id).unwrap().state
    }

    pub async fn wish(&self, wish: Wish) -> bool {
        let mut tx = self.db.begin().await.unwrap();
        let kept = servers::wish(&mut tx, &self.db, self.client, self.server, &wish).await.unwrap();
        tx.commit().await.unwrap();
        kept
    }

    pub async fn server(&self) -> servers::Server {
        servers::get(&self.db, self.client, self.server).await.unwrap().unwrap()
    }
}

pub fn order(attempt: i64) -> NewOrder {
    NewOrder {
        attempt,
        region: "fsn1".into(),
        size: "cx22".into(),
        placement: "{}".into(),
        avoid: "{}".into(),
        order_sealed: "sealed".into(),
    }
}

pub fn new_machine(world: &World, generation: i64) -> NewMachine {
    NewMachine {
        id: MachineId::new(),
        server: world.server,
        client: world.client,
        account: world.account,
        name: format!("byop-{}-{generation}", world.server),
        generation,
        order: order(1),
    }
}

pub fn rate(hourly_micros: i64) -> Rate {
    Rate { hourly_micros, currency: "EUR".into() }
}
