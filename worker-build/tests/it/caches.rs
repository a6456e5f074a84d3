//! What later builds keep of earlier ones, and what they must not.

use shared::{
    domain::BuildId,
    worksource::{BuildOrder, BuildOutcome, BuildVariable},
};

use crate::{
    environment::{Environment, dockerfile, environment},
    images::docker,
};

/// A build step writes a variable into the tree, and the server says it.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_variable_reaches_the_image_of_the_same_commit() {
    let Some(mut env) = environment("a_changed_variable_reaches_the_image_of_the_same_commit").await else { return };
    let package = r#"{"scripts": {"build": "printf %s \"$GREETING\" > said", "start": "node server.js"}}"#;
    let server = "console.log(require('fs').readFileSync('said', 'utf8')); // http.createServer().listen()";
    env.forge.commit("app", &[("package.json", package), ("server.js", server)]);
    let client = env.client();
    let order = env.order(client, "app");
    for (value, fingerprint) in [("hello", "1"), ("goodbye", "2"), ("hello", "1")] {
        let variables = vec![BuildVariable { name: "GREETING".into(), value: value.to_owned().into(), secret: false }];
        let order =
            BuildOrder { build: BuildId::new(), variables, variables_fingerprint: fingerprint.into(), ..order.clone() };
        let (result, report) = env.build(&order).await;
        let image = result.unwrap_or_else(|e| panic!("{e}\n{}", report.log()));
        assert_eq!(said(&env, &image), value, "{}", report.log());
    }
    env.finish().await;
}

const MANIFEST: &str = "[package]\nname = \"shop\"\nversion = \"1.0.0\"\nedition = \"2021\"\n";

/// What a container of the image says.
fn said(env: &Environment, image: &BuildOutcome) -> String {
    let reference = format!("{}/{}@{}", env.config.registry.host, image.repository, image.digest);
    docker(&["pull", "--quiet", &reference]);
    let said = docker(&["run", "--rm", "--network=none", &reference]);
    docker(&["image", "rm", &reference]);
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rust_image_has_the_code_of_its_own_commit_and_app() {
    let Some(mut env) = environment("a_rust_image_has_the_code_of_its_own_commit_and_app").await else { return };
    let client = env.client();
    let first = env.order(client, "one").app;
    // The same length each time, so that nothing but the content differs.
    for (repository, app, text) in [
        ("one", Some(first), "one-a"),
        ("one", Some(first), "one-b"),
        ("one", Some(first), "one-a"),
        ("two", None, "two-a"),
    ] {
        let main = format!("fn main() {{ println!(\"{text}\"); }}\n");
        env.forge.commit(repository, &[("Cargo.toml", MANIFEST), ("src/main.rs", &main)]);
        let mut order = env.order(client, repository);
        order.app = app.unwrap_or(order.app);
        let (result, report) = env.build(&order).await;
        let image = result.unwrap_or_else(|e| panic!("{e}\n{}", report.log()));
        assert_eq!(said(&env, &image), text, "{}", report.log());
    }
    env.finish().await;
}

/// A wish for more disk than there is takes every idle cache, and none that is in use.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "removes the idle caches of everybody on the engine"]
async fn idle_caches_make_room_and_those_in_use_stay() {
    let Some(mut env) = environment("idle_caches_make_room_and_those_in_use_stay").await else { return };
    env.forge.commit("app", &[("Dockerfile", &dockerfile("RUN echo built"))]);
    let (gone, here) = (env.client(), env.client());
    for (client, free, left) in [(gone, 0, true), (here, u64::MAX, false)] {
        env.config.limits.free_bytes = free;
        let order = env.order(client, "app");
        let (result, report) = env.build(&order).await;
        assert!(result.is_ok(), "{result:?}\n{}", report.log());
        let caches = env.engine.list_volumes(&[&format!("byop.client={gone}")]).await.expect("caches");
        assert_eq!(!caches.is_empty(), left);
        let own = env.engine.list_volumes(&[&format!("byop.client={client}")]).await.expect("caches");
        assert_eq!(own.len(), 1);
    }
    env.finish().await;
}
