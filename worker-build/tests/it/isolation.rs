//! What a build cannot reach, by its steps or by its engine.

use shared::worksource::FailureCode;

use crate::{
    environment::{code, dockerfile, environment},
    neighbour::Neighbour,
};

fn connects(places: &[&str]) -> String {
    let places: Vec<String> = places.iter().map(|p| p.replace(':', "/")).collect();
    format!(
        "RUN for a in {}; do if timeout 3 bash -c \": </dev/tcp/$a\" 2>/dev/null; then echo \"reached $a\"; exit 1; fi; \
         done; echo shut-$((1))off",
        places.join(" ")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_do_not_reach_this_machine() {
    let Some(mut env) = environment("steps_do_not_reach_this_machine").await else { return };
    let neighbour = Neighbour::start(&env.settings["BYOP_GATEWAY"], 0).await;
    // The build's own engine pulls from the mirror; its steps still do not reach it.
    let step = connects(&[&env.config.registry.host, &neighbour.address, "169.254.169.254:80", "172.17.0.1:80"]);
    env.forge.commit("app", &[("Dockerfile", &dockerfile(&step))]);
    let client = env.client();
    let order = env.order(client, "app");
    let (result, report) = env.build(&order).await;
    assert!(result.is_ok(), "{result:?}\n{}", report.log());
    // BuildKit shows the step's own text too, so what it says is not what stands there.
    assert!(report.log().contains("shut-1off"), "{}", report.log());
    let host = format!("RUN --network=host {}", connects(&[&neighbour.address]).trim_start_matches("RUN "));
    env.forge.commit("host", &[("Dockerfile", &dockerfile(&host))]);
    let order = env.order(client, "host");
    let (result, report) = env.build(&order).await;
    assert!(result.is_err() && !report.log().contains("shut-1off"), "{result:?}\n{}", report.log());
    assert_eq!(neighbour.visitors(), 0);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn urls_in_a_dockerfile_do_not_reach_this_machine() {
    let Some(mut env) = environment("urls_in_a_dockerfile_do_not_reach_this_machine").await else { return };
    let gateway = env.settings["BYOP_GATEWAY"].clone();
    let neighbour = Neighbour::start(&gateway, 0).await;
    let client = env.client();
    let registry = env.settings["BYOP_REGISTRY"].clone();
    let places = [
        format!("ADD http://{}/x /x", neighbour.address),
        format!("ADD http://{}/x.git /x", neighbour.address),
        format!("ADD https://{registry}/v2/ /x"),
        "ADD http://169.254.169.254/latest/meta-data/ /x".to_owned(),
        format!("FROM {}/image:1", neighbour.address),
    ];
    for (n, step) in places.iter().enumerate() {
        let repository = format!("app{n}");
        env.forge.commit(&repository, &[("Dockerfile", &dockerfile(step))]);
        let order = env.order(client, &repository);
        let (result, report) = env.build(&order).await;
        assert_eq!(code(&result), Some(FailureCode::BuildFailed), "{step}: {result:?}\n{}", report.log());
    }
    assert_eq!(neighbour.visitors(), 0);
    // The neighbour is there: what the settings allow reaches it.
    env.config.allow_cidrs = vec![format!("{gateway}/32").parse().expect("network")];
    let order = env.order(client, "app0");
    let (result, report) = env.build(&order).await;
    assert!(result.is_ok(), "{result:?}\n{}", report.log());
    assert!(neighbour.visitors() > 0);
    env.finish().await;
}
