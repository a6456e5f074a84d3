//! Every app of `examples/` and of `tests/stacks/apps`: what is generated for it, as a snapshot, and where an app says in
//! `run.toml` what it answers, the image itself, built and run by a real engine.
//!
//! An app of `tests/stacks/apps/NAME` has its tree in `tree/`; `run.toml` beside it may say:
//!
//! ```toml
//! path = "/"              # what is asked for
//! contains = "Hello"      # what the answer has
//! stops_within_s = 3      # after SIGTERM; more only with the reason in a comment
//! missing = 404           # the status of a path that does not exist; left out, none is asked for
//! writable = false        # true: the root is not read-only, with the reason in a comment
//! base = "apps/api"       # the app's directory; left out, it is the tree
//! ```
//!
//! or, for what does not answer HTTP:
//!
//! ```toml
//! worker = "working"      # what its log has when it works
//! ```
//!
//! A snapshot is made for each tree; the names of the tests are `snapshot::NAME`, `lint::NAME` and `image::NAME`.

#![allow(clippy::print_stdout)]

mod added;
mod cli;
mod compose;
mod image;
mod lint;
mod snapshot;

use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use serde::Deserialize;
use shared::generate::{Recipe, SourceTree, Wishes, recipe};

/// What a running app does.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    #[serde(default)]
    pub path: String,
    #[serde(default)]
    pub contains: String,
    pub missing: Option<u16>,
    pub worker: Option<String>,
    #[serde(default)]
    pub writable: bool,
    #[serde(default = "three")]
    pub stops_within_s: u64,
    #[serde(default)]
    pub base: String,
}

fn three() -> u64 {
    3
}

/// One app of the tests.
#[derive(Clone, Debug)]
pub struct App {
    pub name: String,
    pub tree: PathBuf,
    pub run: Option<Run>,
}

impl App {
    pub fn recipe(&self) -> Result<Recipe, Failed> {
        let tree = SourceTree::open(&self.tree).map_err(|e| e.to_string())?;
        let base = self.run.as_ref().map(|run| run.base.as_str()).unwrap_or_default();
        let wishes = Wishes { base_directory: base.parse()?, ..Wishes::default() };
        Ok(recipe(&tree, &wishes).map_err(|e| format!("{}: {e}", e.code()))?)
    }
}

/// The examples, which all say hello and have a health check, and the apps of this test.
fn apps() -> Result<Vec<App>, Failed> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut apps = Vec::new();
    for directory in directories(&here.join("../examples"))? {
        let name = name(&directory);
        let run = Run {
            path: "/".into(),
            contains: format!("Hello from the {name} example"),
            missing: Some(404),
            worker: None,
            writable: false,
            stops_within_s: three(),
            base: String::new(),
        };
        apps.push(App { name: format!("example-{name}"), tree: directory, run: Some(run) });
    }
    for directory in directories(&here.join("tests/stacks/apps"))? {
        let run = directory.join("run.toml");
        let run = run.exists().then(|| std::fs::read_to_string(&run)).transpose()?;
        let run = run.map(|text| toml::from_str(&text)).transpose()?;
        apps.push(App { name: name(&directory), tree: directory.join("tree"), run });
    }
    Ok(apps)
}

fn directories(parent: &Path) -> Result<Vec<PathBuf>, Failed> {
    let entries = std::fs::read_dir(parent)?.collect::<Result<Vec<_>, _>>()?;
    let mut found: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    found.sort();
    Ok(found)
}

fn name(directory: &Path) -> String {
    directory.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn main() -> Result<(), Failed> {
    let mut arguments = Arguments::from_args();
    // Two builds at a time are as fast as more of them on a small machine.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let mut trials = vec![
        Trial::test("a_stack_of_another_crate", added::check),
        Trial::test("byop_generate_exit_codes", cli::exit_codes),
        Trial::test("byop_generate_json", cli::json),
        Trial::test("byop_generate_files", cli::files),
        Trial::test("byop_generate_ends", cli::ends),
    ];
    let apps = apps()?;
    let all = apps.clone();
    trials.push(Trial::test("lint::compose_files", move || compose::check(&all)));
    trials.push(Trial::test("lint::broken_compose_files", compose::check_of_the_check));
    for app in apps {
        let (shown, linted) = (app.clone(), app.clone());
        trials.push(Trial::test(format!("lint::{}", app.name), move || lint::check(&linted)));
        trials.push(Trial::test(format!("snapshot::{}", app.name), move || snapshot::check(&shown)));
        if let Some(run) = app.run.clone() {
            trials.push(Trial::test(format!("image::{}", app.name), move || image::check(&app, &run)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit()
}
