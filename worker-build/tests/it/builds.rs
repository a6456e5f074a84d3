//! What builds do, and how they fail.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use shared::worksource::{BuildFailure, FailureCode, Stage, StopReason};
use tokio::net::TcpListener;

use crate::{
    environment::{BASE, code, dockerfile, environment, secret},
    report::Report,
};

#[tokio::test(flavor = "multi_thread")]
async fn builds_and_pushes_without_telling_secrets() {
    let Some(mut env) = environment("builds_and_pushes_without_telling_secrets").await else { return };
    let own = dockerfile(
        "RUN --mount=type=secret,id=TOKEN cat /run/secrets/TOKEN && echo && base64 /run/secrets/TOKEN && \
         echo \"{\\\"t\\\":\\\"$(cat /run/secrets/TOKEN)\\\"}\" && test \"$(cat /run/secrets/TOKEN)\" = 'tok/en+s3cret=value'\n\
         RUN ! env | grep TOKEN && test ! -e /run/secrets/TOKEN",
    );
    let sha = env.forge.commit("app", &[("Dockerfile", &own), ("a.txt", "a")]);
    let client = env.client();
    let mut order = env.order(client, "app");
    order.variables.push(secret("TOKEN", "tok/en+s3cret=value"));
    let (result, report) = env.build(&order).await;
    let image = result.unwrap_or_else(|e| panic!("{e}\n{}", report.log()));
    assert!(image.digest.starts_with("sha256:"), "{image:?}");
    assert!(image.tag.starts_with(&sha[..12]), "{image:?}");
    assert_eq!(report.commit.lock().expect("lock").as_deref(), Some(sha.as_str()));
    assert_eq!(*report.stages.lock().expect("lock"), [Stage::Fetching, Stage::Building, Stage::Pushing]);
    let log = report.log();
    assert!(log.contains("[secret]"), "{log}");
    assert!(!log.contains("s3cret"), "{log}");
    assert!(!log.contains("dG9rL2VuK3MzY3JldD12YWx1"), "{log}");
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_time_and_failed_steps_are_told_apart() {
    let Some(mut env) = environment("memory_time_and_failed_steps_are_told_apart").await else { return };
    let client = env.client();
    let cases = [
        ("oom", "RUN head -c 4000000000 /dev/zero | tail >/dev/null", FailureCode::OutOfMemory),
        ("step", "RUN echo compiling && exit 3", FailureCode::BuildFailed),
        ("killed", "RUN exit 137", FailureCode::BuildFailed),
        ("parse", "RUNN x", FailureCode::BadDockerfile),
        ("copy", "COPY missing /missing", FailureCode::BadDockerfile),
    ];
    for (repository, step, expected) in cases {
        env.forge.commit(repository, &[("Dockerfile", &dockerfile(step))]);
        let order = env.order(client, repository);
        let (result, report) = env.build(&order).await;
        assert_eq!(code(&result), Some(expected), "{repository}: {result:?}\n{}", report.log());
        if repository == "step" {
            let message = result.expect_err("failed").to_string();
            assert!(message.contains("exit code: 3") && message.contains("compiling"), "{message}");
        }
    }
    env.config.limits.time = Duration::from_secs(20);
    env.forge.commit("slow", &[("Dockerfile", &dockerfile("RUN sleep 600"))]);
    let order = env.order(client, "slow");
    let (result, report) = env.build(&order).await;
    assert_eq!(code(&result), Some(FailureCode::Timeout), "{result:?}\n{}", report.log());
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_ends_that_build_and_no_other() {
    let Some(mut env) = environment("cancel_ends_that_build_and_no_other").await else { return };
    env.forge.commit("app", &[("Dockerfile", &dockerfile("RUN echo now-asleep && sleep 600"))]);
    let client = env.client();
    let (first, second) = (env.order(client, "app"), env.order(client, "app"));
    let (one, two) = (Arc::new(Report::default()), Arc::new(Report::default()));
    let told = async {
        tokio::join!(one.logged(" now-asleep"), two.logged(" now-asleep"));
        one.stop(StopReason::Cancelled);
        Instant::now()
    };
    let mut other = Box::pin(env.build_with(&second, &two));
    let cancelled = async { tokio::join!(env.build_with(&first, &one), told) };
    let (result, asked) = tokio::select! {
        done = cancelled => done,
        early = &mut other => panic!("the other build ended: {early:?}\n{}", two.log()),
    };
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!(matches!(result, Err(BuildFailure::Stopped(StopReason::Cancelled))), "{result:?}");
    assert_eq!(env.containers_of(&first).await, 0);
    assert_eq!(env.containers_of(&second).await, 1);
    two.stop(StopReason::Cancelled);
    let _ = (&mut other).await;
    drop(other);
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_have_caches_of_their_own() {
    let Some(mut env) = environment("clients_have_caches_of_their_own").await else { return };
    let step = |n: u8| {
        dockerfile(&format!(
            "RUN --mount=type=cache,target=/c if [ -e /c/mark ]; then echo was-kept-{n}; else echo is-fresh-{n}; touch /c/mark; fi"
        ))
    };
    let (a, b) = (env.client(), env.client());
    for (client, n, expected) in [(a, 1, "is-fresh-1"), (a, 2, "was-kept-2"), (b, 3, "is-fresh-3")] {
        env.forge.commit("app", &[("Dockerfile", &step(n))]);
        let order = env.order(client, "app");
        let (result, report) = env.build(&order).await;
        assert!(result.is_ok(), "{result:?}\n{}", report.log());
        let log = report.log();
        assert!(log.lines().any(|l| l.ends_with(&format!(" {expected}"))), "{expected}: {log}");
    }
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn git_problems_are_told_apart() {
    let Some(mut env) = environment("git_problems_are_told_apart").await else { return };
    env.forge.commit("app", &[("Dockerfile", BASE)]);
    let client = env.client();
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("port").local_addr().expect("address");
    let mut orders = Vec::new();
    for (change, expected) in [
        (("git_ref", "no-such"), FailureCode::RefNotFound),
        (("git_ref", "0123456789012345678901234567890123456789"), FailureCode::RefNotFound),
        (("url", "private"), FailureCode::AuthFailed),
        (("url", "absent"), FailureCode::AuthFailed),
        (("closed", ""), FailureCode::GitUnreachable),
        (("ssh", ""), FailureCode::HostKeyUnknown),
        (("base", "nowhere"), FailureCode::NotDetected),
    ] {
        let mut order = env.order(client, "app");
        match change.0 {
            "git_ref" => order.git_ref = change.1.into(),
            "url" => order.git_url = env.forge.url(change.1),
            "closed" => order.git_url = format!("http://{closed}/app"),
            "ssh" => order.git_url = format!("ssh://git@127.0.0.1:{}/app", closed.port()),
            _ => order.base_directory = change.1.into(),
        }
        orders.push((order, expected));
    }
    for (order, expected) in orders {
        let (result, report) = env.build(&order).await;
        assert_eq!(code(&result), Some(expected), "{} {}: {result:?}\n{}", order.git_url, order.git_ref, report.log());
    }
    env.config.dev_mode = false;
    let mut order = env.order(client, "app");
    order.git_url = "https://127.0.0.1/app".into();
    assert_eq!(code(&env.build(&order).await.0), Some(FailureCode::GitUrlRefused));
    env.config.dev_mode = true;
    env.config.limits.source_bytes = 100_000;
    env.forge.commit("big", &[("Dockerfile", BASE), ("big", &incompressible(400_000))]);
    let order = env.order(client, "big");
    let (result, _) = env.build(&order).await;
    assert_eq!(code(&result), Some(FailureCode::SourceTooBig), "{result:?}");
    env.finish().await;
}

fn incompressible(bytes: usize) -> String {
    let mut state = 88_172_645_463_325_252_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b' ' + (state % 94) as u8)
    })
    .take(bytes)
    .collect()
}
