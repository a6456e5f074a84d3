//! Private repositories over SSH, and repositories in repositories.

use shared::{
    ssh::{KeyPair, generate_key},
    worksource::{FailureCode, HostKey},
};

use crate::{
    environment::{code, dockerfile, environment},
    neighbour::Neighbour,
    sshd::Sshd,
};

fn key(name: &str) -> KeyPair {
    generate_key(name).expect("key")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_key_reads_its_repository_from_the_known_host_only() {
    let test = "a_deploy_key_reads_its_repository_from_the_known_host_only";
    let Some(mut env) = environment(test).await else { return };
    let sha = env.forge.commit("app", &[("Dockerfile", &dockerfile("COPY . /src"))]);
    let (right, wrong, another_host) = (key("right"), key("wrong"), key("host").public);
    let entry = format!("restrict,command=\"git-upload-pack '{}'\" {}", env.forge.path("app").display(), right.public);
    let Some(sshd) = Sshd::start(test, &entry, None).await else { return };
    let client = env.client();
    for (login, host_key, expected) in [
        (Some(&right), Some(&sshd.host_key), None),
        (Some(&wrong), Some(&sshd.host_key), Some(FailureCode::AuthFailed)),
        (None, Some(&sshd.host_key), Some(FailureCode::AuthFailed)),
        (Some(&right), Some(&another_host), Some(FailureCode::HostKeyUnknown)),
        (Some(&right), None, Some(FailureCode::HostKeyUnknown)),
    ] {
        let mut order = env.order(client, "app");
        order.git_url = format!("ssh://root@127.0.0.1:{}/app", sshd.port);
        order.deploy_key = login.map(|k| k.private.clone());
        let known = |key: &String| HostKey { host: "127.0.0.1".into(), port: sshd.port, public_key: key.clone() };
        order.host_keys = host_key.map(known).into_iter().collect();
        let (result, report) = env.build(&order).await;
        assert_eq!(code(&result), expected, "{result:?}\n{}", report.log());
        if expected.is_none() {
            assert_eq!(report.commit.lock().expect("lock").as_deref(), Some(sha.as_str()));
        }
    }
    env.finish().await;
}

/// As on the second attempt of a build, or for a commit that was asked for by its id.
#[tokio::test(flavor = "multi_thread")]
async fn a_forge_that_points_to_the_git_name_is_followed_for_branches_commits_and_submodules() {
    let test = "a_forge_that_points_to_the_git_name_is_followed_for_branches_commits_and_submodules";
    let Some(mut env) = environment(test).await else { return };
    let inner = env.forge.commit("moved-inner", &[("file", "x")]);
    env.forge.commit("moved", &[("Dockerfile", &dockerfile("COPY inner/file /file"))]);
    let sha = env.forge.submodule("moved", "inner", &env.forge.url("moved-inner"), &inner);
    let client = env.client();
    for (git_ref, commit_sha) in [("main", None), ("main", Some(sha.clone())), (sha.as_str(), None)] {
        let mut order = env.order(client, "moved");
        (order.git_ref, order.commit_sha, order.submodules) = (git_ref.into(), commit_sha, true);
        let (result, report) = env.build(&order).await;
        assert!(result.is_ok(), "{result:?}\n{}", report.log());
        assert_eq!(report.commit.lock().expect("lock").as_deref(), Some(sha.as_str()));
    }
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn submodules_come_when_they_are_asked_for() {
    let Some(mut env) = environment("submodules_come_when_they_are_asked_for").await else { return };
    let inner = env.forge.commit("inner", &[("file", "x")]);
    let text = "COPY . /src\nRUN if [ -e /src/inner/file ]; then echo with-it; else echo without-it; fi";
    env.forge.commit("app", &[("Dockerfile", &dockerfile(text))]);
    env.forge.submodule("app", "inner", &env.forge.url("inner"), &inner);
    let client = env.client();
    for (asked, expected) in [(false, " without-it"), (true, " with-it")] {
        let mut order = env.order(client, "app");
        order.submodules = asked;
        let (result, report) = env.build(&order).await;
        assert!(result.is_ok(), "{result:?}\n{}", report.log());
        assert!(report.log().lines().any(|l| l.ends_with(expected)), "{expected}: {}", report.log());
    }
    // Git would take the last one; whichever that is, both are refused before anything is fetched.
    let neighbour = Neighbour::start("127.0.0.1", 0).await;
    let (good, hidden) = (env.forge.url("inner"), format!("http://{}/x.git", neighbour.address));
    for entries in [[("a", good.as_str()), ("b", &hidden)], [("b", &hidden), ("a", &good)]] {
        env.forge.submodules("app", "inner", &entries, &inner);
        let mut order = env.order(client, "app");
        order.submodules = true;
        let (result, report) = env.build(&order).await;
        assert_eq!(code(&result), Some(FailureCode::GitUrlRefused), "{result:?}\n{}", report.log());
    }
    assert_eq!(neighbour.visitors(), 0);
    // A submodule cannot lead where the app itself could not.
    env.forge.submodule("app", "inner", "file:///etc", &inner);
    let mut order = env.order(client, "app");
    order.submodules = true;
    let (result, report) = env.build(&order).await;
    assert_eq!(code(&result), Some(FailureCode::GitUrlRefused), "{result:?}\n{}", report.log());
    env.finish().await;
}
