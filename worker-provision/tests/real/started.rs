//! A machine that was started with our user-data and knows nothing else of us.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use shared::{
    domain::status::ServerStatus,
    providers::Address,
    queue::Handler,
    ssh::{Exec, KeyPair},
};

use crate::{
    host::{LEFT, known},
    world::world,
};

#[tokio::test]
#[ignore = "needs the machine of scripts/e2e/vm, whose files are in the folder BYOP_TEST_VM_DIR"]
async fn a_real_machine_is_prepared_and_given_back() {
    let dir = PathBuf::from(std::env::var("BYOP_TEST_VM_DIR").unwrap());
    let read = |file: &str| fs::read_to_string(dir.join(file)).unwrap();
    let mut world = world("a real machine", "none").await.expect("an environment");
    // An emulated machine takes longer than one try for a login.
    world.settings.login_limit = Duration::from_secs(300);
    let worker = world.handler();
    let login = KeyPair { public: read("login.pub"), private: read("login").into() };
    let at = Address { host: "127.0.0.1".into(), port: read("port").trim().parse().unwrap() };
    let server = known(&world, at, "byop", read("host.pub"), &login).await;
    let began = Instant::now();
    if let Err(e) = worker.run(&world.lease(server.id, 1).await).await {
        panic!("{e}: {}", world.log(server.id).await);
    }
    println!("ready after {:?}", began.elapsed());
    let ready = world.load(server.id).await;
    assert_eq!(ready.status, ServerStatus::Ready);
    println!("facts: {}", ready.facts.unwrap());
    let session = world.connect(&server).await.unwrap();
    world.ask_delete(server.id).await;
    worker.run(&world.lease(server.id, 1).await).await.unwrap();
    assert_eq!(world.load(server.id).await.status, ServerStatus::Deleted);
    assert_eq!(session.run(&["sh", "-c", LEFT], Exec::default()).await.unwrap(), "");
    println!("given back after {:?}", began.elapsed());
}
