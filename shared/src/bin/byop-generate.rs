//! `byop-generate PATH`: what the engine finds in a source tree, and the files it would build it with.
//!
//! Looks only; nothing of the tree is run and nothing is fetched. Exit codes: 0 found, 1 the tree or the output cannot be
//! used, 2 ambiguous or in conflict (the candidates are listed), 3 nothing found (what was looked for is listed). It has the
//! clock that the generator lacks: a runtime whose end has come since is a warning.

#![allow(clippy::print_stdout)]

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use shared::{
    domain::RelPath,
    generate::{
        Bases, DockerfileMode, DockerfileSource, Generator, Month, Outcome, Recipe, SourceTree, Wishes, month_of,
        preview_compose, versions_overview,
    },
};
use time::OffsetDateTime;

const USAGE: &str = "\
usage: byop-generate [OPTION...] PATH
       byop-generate --check-versions [--month YYYY-MM]

Prints what kind of app the source tree at PATH is and how it would be built.

  --json             print the report as JSON
  --out DIR          write Dockerfile, .dockerignore and docker-compose.yml into DIR
  --directory DIR    the app's directory inside of PATH
  --dockerfile       print the Dockerfile
  --generate         do not use the tree's own Dockerfile
  --base-prefix P    a registry prefix for base images, such as mirror.example/hub
  --base-digests F   a file that pins base images: NAME:TAG sha256:DIGEST in each line
  --check-versions   print the known series of each runtime with their ends
  --month YYYY-MM    judge ends as of this month instead of the present one
  --help             this text

Exit codes: 0 found, 1 unusable input or output, 2 ambiguous or in conflict, 3 nothing found.
With --check-versions: 0, or 1 when a series that is chosen unless something asks for another is over.
";

#[derive(Default)]
struct Options {
    path: Option<PathBuf>,
    json: bool,
    dockerfile: bool,
    out: Option<PathBuf>,
    base_prefix: Option<String>,
    base_digests: Option<String>,
    check_versions: bool,
    month: Option<Month>,
    wishes: Wishes,
}

fn options() -> Result<Option<Options>, String> {
    let mut options = Options::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "-h" | "--help" => return Ok(None),
            "--json" => options.json = true,
            "--dockerfile" => options.dockerfile = true,
            "--check-versions" => options.check_versions = true,
            "--month" => {
                options.month = Some(month(&value()?).ok_or("--month takes a year and a month, such as 2026-11")?);
            }
            "--generate" => options.wishes.mode = DockerfileMode::Generate,
            "--out" => options.out = Some(value()?.into()),
            "--base-prefix" => options.base_prefix = Some(value()?),
            "--base-digests" => options.base_digests = Some(value()?),
            "--directory" => {
                options.wishes.base_directory = value()?.parse::<RelPath>().map_err(|e| format!("--directory: {e}"))?;
            }
            option if option.starts_with('-') => return Err(format!("unknown option {option}; see --help")),
            path if options.path.is_none() => options.path = Some(path.into()),
            more => return Err(format!("one PATH only, not also {more}")),
        }
    }
    if options.path.is_some() == options.check_versions {
        return Err("either PATH or --check-versions; see --help".into());
    }
    options.wishes.bases = bases(&options)?;
    Ok(Some(options))
}

fn bases(options: &Options) -> Result<Bases, String> {
    let read = |path: &String| fs::read_to_string(path).map_err(|e| format!("{path}: {e}"));
    let digests = options.base_digests.as_ref().map(read).transpose()?.unwrap_or_default();
    Bases::new(options.base_prefix.as_deref(), &digests).map_err(|e| e.to_string())
}

fn month(text: &str) -> Option<Month> {
    let (year, month) = text.split_once('-')?;
    let (year, month) = (year.parse().ok()?, month.parse().ok()?);
    ((1..=12).contains(&month) && (1970..=9999).contains(&year)).then_some((year, month))
}

fn main() -> ExitCode {
    let done = options().and_then(|options| match options {
        Some(options) => run(&options),
        None => {
            print!("{USAGE}");
            Ok(0)
        }
    });
    match done {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            eprintln!("byop-generate: {message}");
            ExitCode::from(1)
        }
    }
}

fn run(options: &Options) -> Result<u8, String> {
    let month = options.month.unwrap_or_else(|| month_of(OffsetDateTime::now_utc()));
    if options.check_versions {
        let overview = versions_overview(month);
        print!("{}", overview.text);
        return Ok((!overview.usual_supported).into());
    }
    let path = options.path.clone().unwrap_or_default();
    let tree = SourceTree::open(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let generator = Generator::default();
    let (recipe, mut report) = generator.examine(&tree, &options.wishes);
    report.warn_of_ends(month);
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report).map_err(|e| e.to_string())?);
    } else {
        print!("{}", report.text());
    }
    if let Ok(recipe) = recipe {
        deliver(options, &recipe)?;
    }
    Ok(match report.outcome {
        Outcome::Found => 0,
        Outcome::Ambiguous => 2,
        Outcome::Nothing => 3,
    })
}

fn deliver(options: &Options, recipe: &Recipe) -> Result<(), String> {
    let generated = match &recipe.dockerfile {
        DockerfileSource::Generated { dockerfile, dockerignore } => Some((dockerfile, dockerignore)),
        DockerfileSource::Own { .. } => None,
    };
    if let (true, Some((dockerfile, _))) = (options.dockerfile, generated) {
        println!("\n{dockerfile}");
    }
    let Some(directory) = &options.out else { return Ok(()) };
    fs::create_dir_all(directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    let dockerfile = match (&recipe.dockerfile, generated) {
        (DockerfileSource::Own { path }, _) => path.to_string(),
        (_, Some((dockerfile, dockerignore))) => {
            write_new(directory, "Dockerfile", dockerfile)?;
            write_new(directory, ".dockerignore", dockerignore)?;
            "Dockerfile".to_owned()
        }
        _ => return Ok(()),
    };
    let compose = preview_compose(recipe, &dockerfile).map_err(|e| e.to_string())?;
    write_new(directory, "docker-compose.yml", &compose)
}

/// Never over a file that is there.
fn write_new(directory: &Path, name: &str, text: &str) -> Result<(), String> {
    let path = directory.join(name);
    let file = fs::File::create_new(&path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|e| format!("{}: {e}", path.display()))
}
