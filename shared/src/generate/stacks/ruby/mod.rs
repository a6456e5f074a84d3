//! Ruby: Rails and other Rack apps behind the server among their gems, and sites that Jekyll, Bridgetown or Middleman make.
//!
//! Gems are compiled in a stage with a compiler; the image that runs has them, the libraries that they are linked with and
//! the app. Absent: JRuby, Passenger.

mod bundle;
mod draft;
mod start;

use bundle::Bundle;

use draft::Draft;

use super::{
    Stack,
    front_end::{self},
    services::Service,
};
use crate::{
    domain::{Port, RelPath},
    generate::{
        detect::Candidate,
        error::GenerateError,
        look::{Look, yaml},
        plan::BuildPlan,
    },
};

pub struct Ruby;

const GEMS: &str = "/usr/local/bundle";
/// What a site without a Gemfile gets: the gems of GitHub Pages, for which such sites are written.
const PAGES: &str = "github-pages:232";
/// Programs that make a site: the gem, its command, where the files then lie.
const SITES: &[(&str, &[&str], &str)] = &[
    ("jekyll", &["jekyll", "build"], "_site"),
    ("github-pages", &["jekyll", "build"], "_site"),
    ("bridgetown", &["bridgetown", "deploy"], "output"),
    ("middleman", &["middleman", "build"], "build"),
    ("nanoc", &["nanoc"], "output"),
];
const FRAMEWORKS: &[(&str, &str)] = &[
    ("rails", "rails"),
    ("hanami", "hanami"),
    ("sinatra", "sinatra"),
    ("roda", "roda"),
    ("grape", "grape"),
    ("rack", "rack"),
];
/// A gem, what it is compiled with, what it is linked with.
const LIBRARIES: &[(&str, &str, &str)] = &[
    ("pg", "libpq-dev", "libpq5"),
    ("mysql2", "default-libmysqlclient-dev", "libmariadb3"),
    ("trilogy", "libssl-dev", "ca-certificates"),
    ("sqlite3", "libsqlite3-dev", "libsqlite3-0"),
    ("ruby-vips", "libvips", "libvips"),
    ("rmagick", "libmagickwand-dev", "imagemagick"),
    ("mini_magick", "imagemagick", "imagemagick"),
    ("charlock_holmes", "libicu-dev", "libicu-dev"),
    ("rugged", "cmake", "ca-certificates"),
];
const SERVICES: &[Service] = &[
    ("'pg'", "postgres"),
    ("'mysql2'", "mysql"),
    ("'trilogy'", "mysql"),
    ("'redis'", "redis"),
    ("'redis-client'", "redis"),
    ("'sidekiq'", "redis"),
    ("'mongoid'", "mongodb"),
];

/// What an app of Ruby is.
enum App {
    Server(&'static str),
    Site { command: Vec<&'static str>, output: String },
    Worker,
}

struct Found {
    bundle: Option<Bundle>,
    app: App,
}

fn found(look: &Look<'_>) -> Option<Found> {
    let tree = &look.here;
    let Some(bundle) = Bundle::read(tree) else {
        let jekyll = tree.has("_config.yml")
            && ["_posts", "_layouts", "_includes", "_data"].iter().any(|name| tree.has_directory(name));
        let app = || App::Site { command: vec!["jekyll", "build"], output: destination(look, "_site") };
        return (jekyll && !tree.has("package.json")).then(|| Found { bundle: None, app: app() });
    };
    let framework = FRAMEWORKS.iter().find(|(gem, _)| bundle.has(gem)).map(|(_, name)| *name);
    let serves = tree.has("config.ru") || start::script(tree, Port::saturating(1)).is_some();
    let started = start::hinted(look, &look.hints.web, None).is_some();
    let site = SITES.iter().find(|(gem, ..)| bundle.has(gem)).filter(|_| !started);
    let app = match (framework, site) {
        (Some("rails"), _) => App::Server("rails"),
        (_, Some((_, command, output))) => App::Site { command: command.to_vec(), output: destination(look, output) },
        (Some(name), None) if serves || started => App::Server(name),
        (None, None) if serves || started => App::Server("rack"),
        _ if start::hinted(look, &look.hints.worker, None).is_some() => App::Worker,
        _ => return None,
    };
    Some(Found { bundle: Some(bundle), app })
}

/// Where Jekyll's settings want the files, when that is inside of the app.
fn destination(look: &Look<'_>, usual: &str) -> String {
    let settings = yaml(&look.here, "_config.yml");
    let named = settings.as_ref().and_then(|settings| settings.get("destination")?.as_str());
    let path = named.and_then(|named| named.parse::<RelPath>().ok()).filter(|path| !path.is_root());
    path.map_or_else(|| usual.to_owned(), |path| path.to_string())
}

impl Stack for Ruby {
    fn name(&self) -> &'static str {
        "ruby"
    }

    fn looks_for(&self) -> &'static str {
        "Gemfile (Ruby)"
    }

    fn detect(&self, look: &Look<'_>) -> Option<Candidate> {
        let candidate = |confidence, path: &str, why| Some(Candidate::new("ruby", confidence).because(path, why));
        let Some(found) = found(look) else {
            return look.here.has("Gemfile").then(|| Candidate::new("ruby", 45).because("Gemfile", "Ruby gems"));
        };
        match (&found.app, &found.bundle) {
            (App::Server("rails"), _) => candidate(94, "Gemfile", "rails"),
            (App::Server(name), _) => candidate(91, "Gemfile", name),
            (App::Site { command, .. }, Some(_)) => {
                candidate(90, "Gemfile", command.first().copied().unwrap_or_default())
            }
            (App::Site { .. }, None) => candidate(72, "_config.yml", "jekyll"),
            (App::Worker, _) => candidate(80, "Procfile", "starts a worker"),
        }
    }

    fn plan(&self, look: &Look<'_>) -> Result<BuildPlan, GenerateError> {
        let reason = "there is no config.ru, no app.rb with Sinatra and no start line; add one, or a Procfile";
        let found = found(look).ok_or_else(|| GenerateError::no_start("ruby", reason))?;
        let bundle = found.bundle.clone().unwrap_or_default();
        let version = bundle::choose(look, &bundle)?;
        let front_end = match &found.app {
            App::Server(_) => front_end::find(look, &RelPath::root())?,
            App::Site { command, .. } if command.first() == Some(&"bridgetown") => {
                front_end::find(look, &RelPath::root())?
            }
            _ => None,
        };
        Draft { look, found, bundle, version, front_end }.plan()
    }
}
