//! A stack from another crate: only the public names of the generator, a template of its own, and no change elsewhere.

use libtest_mimic::Failed;
use shared::{
    domain::Port,
    generate::{
        BaseImage, BuildPlan, Candidate, DockerfileSource, GenerateError, Generator, Health, Kind, Look, Probe,
        Runtime, SourceTree, Stage, Step, Wishes, env, stacks::Stack,
    },
};

/// Programs of a made-up language, compiled by `blub`.
struct Blub;

const TEMPLATE: &str = "\
FROM {{build.image}} AS build
WORKDIR /app
{{#with build}}
{{> stage}}
{{> sources}}
{{/with}}

{{> runtime}}
";

impl Stack for Blub {
    fn name(&self) -> &'static str {
        "blub"
    }

    fn looks_for(&self) -> &'static str {
        "main.blub (Blub)"
    }

    fn detect(&self, look: &Look<'_>) -> Option<Candidate> {
        look.here.find("main.blub")?;
        Some(Candidate::new("blub", 80).because("main.blub", "a Blub program"))
    }

    fn plan(&self, look: &Look<'_>) -> Result<BuildPlan, GenerateError> {
        let port = look.wishes.port.unwrap_or(Port::saturating(8080));
        let mut build = Stage::on(BaseImage::new("blub:1"));
        build.build = vec![Step::new(&["blub", "compile", "main.blub"]).cached("byop-blub", "/cache")];
        let mut runtime = Runtime::on(BaseImage::new("blub:1-run"));
        runtime.env = env([("PORT", port.to_string())]);
        runtime.port = Some(port);
        let probe =
            Probe { port, path: "/".parse().map_err(|_| GenerateError::no_start("blub", "no path"))?, bad_from: 500 };
        runtime.health = Some(Health::new(probe, Probe::bash));
        runtime.start = vec!["/app/main".into()];
        let mut plan = BuildPlan::new(TEMPLATE, look.at.clone(), runtime);
        plan.build = Some(build);
        Ok(plan)
    }
}

static BLUB: Blub = Blub;

pub fn check() -> Result<(), Failed> {
    let tree = SourceTree::in_memory([("main.blub", "serve"), ("README.md", "")]);
    let none = Generator::default().recipe(&tree, &Wishes::default()).map(|_| ());
    if none.as_ref().err().map(GenerateError::code) != Some("stack_not_detected") {
        return Err(format!("without the stack: {none:?}").into());
    }
    let recipe = Generator::default().with(&BLUB).recipe(&tree, &Wishes::default()).map_err(|e| e.to_string())?;
    let DockerfileSource::Generated { dockerfile, .. } = recipe.dockerfile else {
        return Err("nothing was generated".into());
    };
    let expected = [
        "FROM blub:1 AS build",
        "RUN --mount=type=cache,id=byop-blub,target=/cache,sharing=locked [\"blub\", \"compile\", \"main.blub\"]",
        "FROM blub:1-run AS runtime",
        "USER 10001:10001",
        "CMD [\"/app/main\"]",
    ];
    match expected.iter().find(|line| !dockerfile.lines().any(|have| have.trim() == **line)) {
        None if recipe.about.kind == Kind::Server => Ok(()),
        missing => Err(format!("{missing:?} is missing in\n{dockerfile}").into()),
    }
}
