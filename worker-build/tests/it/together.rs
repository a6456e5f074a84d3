//! What has to hold at the same time, in one build.

use shared::worksource::Stage;
use tokio::net::TcpListener;

use crate::{
    environment::{dockerfile, environment, secret},
    images::docker,
};

const TOKEN: &str = "tok/en+s3cret=value";

/// The step says a line and then waits for a port that opens when the line is there: without live lines it would wait
/// for ever.
#[tokio::test(flavor = "multi_thread")]
async fn live_lines_secrets_and_cache_mounts_in_one_build() {
    let Some(mut env) = environment("live_lines_secrets_and_cache_mounts_in_one_build").await else { return };
    let gateway = env.settings["BYOP_GATEWAY"].clone();
    env.config.allow_cidrs = vec![format!("{gateway}/32").parse().expect("network")];
    let client = env.client();
    for (round, kept) in [(1, " fresh-1"), (2, " kept-2")] {
        let port = TcpListener::bind((gateway.as_str(), 0)).await.expect("port").local_addr().expect("address").port();
        let step = format!(
            "RUN --mount=type=cache,target=/c --mount=type=secret,id=TOKEN \
             if [ -e /c/mark ]; then echo kept-{round}; else echo fresh-{round}; touch /c/mark; fi; \
             echo \"with $(cat /run/secrets/TOKEN)\"; \
             until bash -c ': </dev/tcp/{gateway}/{port}' 2>/dev/null; do sleep 0.1; done"
        );
        env.forge.commit("app", &[("Dockerfile", &dockerfile(&step))]);
        let mut order = env.order(client, "app");
        order.variables.push(secret("TOKEN", TOKEN));
        let report = std::sync::Arc::new(crate::report::Report::default());
        let opens = async {
            report.logged(" with [secret]").await;
            assert!(report.log().lines().any(|l| l.ends_with(kept)), "{}", report.log());
            assert_eq!(report.stages.lock().expect("lock").last(), Some(&Stage::Building));
            TcpListener::bind((gateway.as_str(), port)).await.expect("port")
        };
        let (result, _open) = tokio::join!(env.build_with(&order, &report), opens);
        let image = result.unwrap_or_else(|e| panic!("{e}\n{}", report.log()));
        assert!(!report.log().contains("s3cret"), "{}", report.log());
        let reference = format!("{}/{}@{}", env.config.registry.host, image.repository, image.digest);
        docker(&["pull", "--quiet", &reference]);
        let told = docker(&["history", "--no-trunc", &reference]) + &docker(&["image", "inspect", &reference]);
        docker(&["image", "rm", &reference]);
        assert!(told.contains("/c/mark") && !told.contains("s3cret"), "{told}");
    }
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_commit_is_built_exactly_and_alone() {
    let Some(mut env) = environment("an_older_commit_is_built_exactly_and_alone").await else { return };
    let text = dockerfile("COPY a.txt /a.txt\nRUN echo \"it is $(cat /a.txt)\"");
    let older = env.forge.commit("app", &[("Dockerfile", &text), ("a.txt", "older")]);
    env.forge.tag("app", "v1");
    env.forge.commit("app", &[("a.txt", "newer")]);
    for (git_ref, commit_sha, expected) in
        [("main", Some(older.clone()), " it is older"), ("v1", None, " it is older"), ("main", None, " it is newer")]
    {
        // Steps from a cache say nothing.
        let client = env.client();
        let mut order = env.order(client, "app");
        (order.git_ref, order.commit_sha) = (git_ref.into(), commit_sha);
        let (result, report) = env.build(&order).await;
        assert!(result.is_ok(), "{result:?}\n{}", report.log());
        assert!(report.log().lines().any(|l| l.ends_with(expected)), "{}", report.log());
        let built = report.commit.lock().expect("lock").clone();
        assert_eq!(built.as_deref() == Some(older.as_str()), expected.ends_with("older"), "{built:?}");
    }
    env.finish().await;
}
