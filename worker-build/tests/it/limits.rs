//! Builds that take what they can get, and a build of somebody else beside them.

use std::{sync::Arc, time::Duration};

use shared::worksource::{BuildHandler, FailureCode};
use worker_build::Builder;

use crate::{
    environment::{code, dockerfile, environment},
    report::Report,
};

/// Forks without end: the processes die for want of others, and are made again.
const BOMB: &str = "RUN bash -c 'bomb() { bomb | bomb & }; bomb; wait; sleep 600'";
const CROWD: &str = "RUN for i in $(seq 1000); do sleep 20 & done; wait";
const OOM: &str = "RUN head -c 4000000000 /dev/zero | tail >/dev/null";
/// Works for a while: many processes one after the other, memory, and files.
const HONEST: &str = "RUN for i in $(seq 400); do head -c 100000 /dev/urandom | sha256sum >>/sums; done; wc -l /sums";

#[tokio::test(flavor = "multi_thread")]
async fn fork_bombs_and_memory_hogs_end_and_a_build_beside_them_does_not_notice() {
    let test = "fork_bombs_and_memory_hogs_end_and_a_build_beside_them_does_not_notice";
    let Some(mut env) = environment(test).await else { return };
    env.config.limits.pids = 400;
    let mut short = env.config.clone();
    short.limits.time = Duration::from_secs(60);
    let [bomb, crowd, oom, honest] =
        [("bomb", BOMB), ("crowd", CROWD), ("oom", OOM), ("honest", HONEST)].map(|(name, step)| {
            env.forge.commit(name, &[("Dockerfile", &dockerfile(step))]);
            let client = env.client();
            env.order(client, name)
        });
    let (bomber, report) = (Builder::new(short), Arc::new(Report::default()));
    let (bombed, crowd, oom, honest) = tokio::join!(
        bomber.build(bomb.clone(), report.clone()),
        env.build(&crowd),
        env.build(&oom),
        env.build(&honest)
    );
    assert_eq!(code(&bombed), Some(FailureCode::Timeout), "{bombed:?}\n{}", report.log());
    assert!(report.log().contains("fork: "), "{}", report.log());
    assert_eq!(code(&crowd.0), Some(FailureCode::BuildFailed), "{:?}\n{}", crowd.0, crowd.1.log());
    assert!(crowd.0.is_err_and(|e| e.to_string().contains("more processes")), "{}", crowd.1.log());
    assert_eq!(code(&oom.0), Some(FailureCode::OutOfMemory), "{:?}\n{}", oom.0, oom.1.log());
    assert!(honest.0.is_ok(), "{:?}\n{}", honest.0, honest.1.log());
    assert!(honest.1.log().contains("400 /sums"), "{}", honest.1.log());
    env.finish().await;
}
