//! Random histories against a model: several servers in one account, asked for and given up at any time, with faults,
//! deaths, jumps of the clock and jobs that run although nothing is due. `BYOP_TEST_CASES` says how many histories.
//!
//! The model of a server is whether it is wanted. After each step: never two staying machines of one name, and nothing
//! stands that no open row names. In the end, when no more faults come: a wanted server has one machine or was refused, one
//! that is not wanted has none, and what was billed was charged.

use std::{sync::Arc, time::Duration};

use cloud_emulator::{CloudKind, Effect, Emulator, Fault, Operation, Settings, State};
use proptest::{prelude::*, test_runner::Config};
use shared::crash::plan::Plan;

use crate::{
    checks::has_ended,
    world::{End, Goal, Life, Run, Watch, World},
};

#[derive(Clone, Debug)]
enum Step {
    Ask,
    GiveUp(usize),
    /// Some attempts of a server's job, the last of which dies at a boundary.
    Work(usize, usize, Option<usize>),
    Pass(u32),
    Fault(Operation, Effect),
}

fn effects() -> impl Strategy<Value = Effect> {
    prop_oneof![
        Just(Effect::ReplyLost),
        Just(Effect::CutBefore),
        Just(Effect::Status500Before),
        Just(Effect::Status500After),
        (1u32..30).prop_map(|retry_after_s| Effect::TooMany { retry_after_s }),
        (0u64..45_000).prop_map(|ms| Effect::Slow { ms }),
        (0u64..60_000).prop_map(|commit_after_ms| Effect::Late { commit_after_ms }),
        (0u64..90_000).prop_map(|ms| Effect::Hidden { ms }),
        Just(Effect::FailsAsync),
        Just(Effect::Capacity { zone: None, size: None }),
        Just(Effect::Garbage),
    ]
}

fn operations() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => Just(Operation::Create),
        2 => Just(Operation::List),
        2 => Just(Operation::Get),
        2 => Just(Operation::Delete),
        1 => Just(Operation::Shared),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => Just(Step::Ask),
        1 => any::<usize>().prop_map(Step::GiveUp),
        6 => (any::<usize>(), 1usize..8, prop::option::of(0usize..30)).prop_map(|(s, n, d)| Step::Work(s, n, d)),
        2 => (1u32..120).prop_map(Step::Pass),
        3 => (operations(), effects()).prop_map(|(o, e)| Step::Fault(o, e)),
    ];
    prop::collection::vec(step, 5..40)
}

struct Model<'a> {
    life: Life<'a>,
    wanted: bool,
    refused: bool,
}

/// Nothing stands that no open row names, unless it is on its way out.
async fn known(models: &[Model<'_>], emulator: &Emulator) -> Result<(), String> {
    let mut names = Vec::new();
    for model in models {
        names.extend(model.life.rows().await.into_iter().filter(|r| !has_ended(r)).map(|r| r.name));
    }
    let live = emulator.live();
    let stray = live.iter().find(|m| m.state != State::Deleting && !names.contains(&m.name));
    stray.map_or(Ok(()), |m| Err(format!("nobody knows of {} {:?}", m.name, m.state)))
}

async fn history(kind: CloudKind, steps: &[Step]) -> Result<(), String> {
    let world = World::new(kind).await;
    let emulator = world.emulator(Settings::default());
    let mut models: Vec<Model<'_>> = Vec::new();
    for step in steps {
        match step {
            Step::Ask => {
                // What the faults of the day do to reading the catalog is not this test's business.
                if models.len() < 6 && emulator.live().len() < 20 {
                    let quiet = emulator.clone();
                    quiet.clear_faults();
                    models.push(Model { life: world.life_in(&emulator).await, wanted: true, refused: false });
                }
            }
            Step::GiveUp(which) => {
                if let Some(model) = pick(&mut models, *which) {
                    model.wanted = false;
                }
            }
            Step::Work(which, attempts, death) => {
                if let Some(model) = pick(&mut models, *which) {
                    work(model, *attempts, *death).await?;
                }
            }
            Step::Pass(seconds) => world.pass(Duration::from_secs((*seconds).into())),
            Step::Fault(operation, effect) => emulator.inject(Fault::next(kind, *operation, effect.clone())),
        }
        models.iter().try_for_each(|m| m.life.check_always())?;
        known(&models, &emulator).await?;
    }
    emulator.clear_faults();
    for model in &mut models {
        settle(model).await?;
    }
    known(&models, &emulator).await
}

fn pick<'m, 'w>(models: &'m mut [Model<'w>], which: usize) -> Option<&'m mut Model<'w>> {
    let count = models.len();
    if count == 0 { None } else { models.get_mut(which % count) }
}

async fn work(model: &mut Model<'_>, attempts: usize, death: Option<usize>) -> Result<(), String> {
    let plan: Arc<Plan> = Plan::dying_at(death);
    for _ in 0..attempts {
        let goal = if model.wanted && !model.refused { Goal::Make } else { Goal::Leave };
        match model.life.run(goal, &plan).await? {
            Run::Ended(End::Refused(..)) => model.refused = true,
            Run::Ended(_) => return Ok(()),
            Run::Waits(pause) => model.life.world.pass(pause),
        }
        model.life.check_always()?;
    }
    Ok(())
}

/// To the end of its story, and what then stands.
async fn settle(model: &mut Model<'_>) -> Result<(), String> {
    let plan = Plan::dying_at([]);
    if model.wanted && !model.refused {
        match model.life.pursue(Goal::Make, &plan).await? {
            End::Made(_) => return model.life.check_made().await,
            End::Refused(..) => {}
            End::Left => return Err("left instead of made".into()),
        }
    }
    match model.life.pursue(Goal::Leave, &plan).await? {
        End::Left => model.life.check_left(Watch::Sometimes).await,
        other => Err(format!("{other:?} instead of left")),
    }
}

fn cases() -> u32 {
    std::env::var("BYOP_TEST_CASES").ok().and_then(|c| c.parse().ok()).unwrap_or(24)
}

fn histories(kind: CloudKind) {
    let config = Config { cases: cases(), failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    proptest!(config, |(steps in steps())| {
        let end = runtime.block_on(history(kind, &steps));
        prop_assert!(end.is_ok(), "{}: {}", kind.name(), end.unwrap_err());
    });
}

#[test]
fn hetzner_through_random_histories() {
    histories(CloudKind::Hetzner);
}

#[test]
fn digitalocean_through_random_histories() {
    histories(CloudKind::DigitalOcean);
}

#[test]
fn ovh_through_random_histories() {
    histories(CloudKind::Ovh);
}

#[test]
fn aws_through_random_histories() {
    histories(CloudKind::Aws);
}
