//! .NET: ASP.NET, Blazor WebAssembly as files, and workers, from the project files of C#, F# and Visual Basic.
//!
//! The names of the images are Microsoft's, which are nowhere else. Invariant: the runtime has the version that the project
//! targets. Absent: .NET Framework, which needs Windows; ahead-of-time compilation.

use super::{
    Stack,
    front_end::{self, FrontEnd},
    pattern::Pattern,
    services::{self, Service},
};
use crate::{
    domain::{Port, RelPath},
    generate::{
        detect::Candidate,
        error::GenerateError,
        images::BaseImage,
        look::{Look, json},
        plan::{Artefact, BuildPlan, Health, Kind, Runtime, Stage, Step, env},
        probe::Probe,
        scan,
        site::{self, Site},
        source::SourceTree,
        versions::{self, Choice, DOTNET, Demand, Demands},
    },
};

pub struct Dotnet;

const ENDINGS: &[&str] = &[".csproj", ".fsproj", ".vbproj"];
const MAX_PROJECTS: usize = 100;
/// Parts of a project's name that speak for the app among several.
const NAMES: &[&str] = &["web", "api", "server", "host", "app"];
const SERVICES: &[Service] = &[
    ("Npgsql", "postgres"),
    ("MySql", "mysql"),
    ("SqlServer", "sqlserver"),
    ("StackExchange.Redis", "redis"),
    ("StackExchangeRedis", "redis"),
    ("MongoDB.", "mongodb"),
    ("RabbitMQ", "rabbitmq"),
];

static FRAMEWORK: Pattern = Pattern::new(r"<TargetFrameworks?>\s*([A-Za-z0-9.;-]{1,200})\s*<");
static NUMBER: Pattern = Pattern::new(r"^net(?:coreapp)?([0-9]{1,2}\.[0-9])");
static ASSEMBLY: Pattern = Pattern::new(r"<AssemblyName>\s*([A-Za-z0-9_.-]{1,150})\s*<");
static LOCAL_ONLY: Pattern = Pattern::new(r#"(?:\.Run|UseUrls|Urls\.Add)\(\s*"(https?://(?:localhost|127\.0\.0\.1))"#);
static SDK_VERSION: Pattern = Pattern::new(r"^([0-9]{1,2}\.[0-9]\.[0-9]{3})$");

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    Web,
    Wasm,
    Worker,
    Program,
}

/// One project file that makes a program.
#[derive(Clone, Debug)]
struct Project {
    /// From the app's directory.
    path: RelPath,
    text: String,
    sort: Sort,
}

fn sort(text: &str) -> Option<Sort> {
    let test = ["Microsoft.NET.Test.Sdk", "xunit", "NUnit", "MSTest", "Aspire.AppHost", "IsTestProject"];
    let sorts = [
        ("Microsoft.NET.Sdk.Web\"", Sort::Web),
        ("Microsoft.NET.Sdk.BlazorWebAssembly\"", Sort::Wasm),
        ("Microsoft.NET.Sdk.Worker\"", Sort::Worker),
        ("<OutputType>Exe<", Sort::Program),
    ];
    let found = sorts.iter().find(|(word, _)| text.contains(word)).map(|(_, sort)| *sort);
    found.filter(|_| !test.iter().any(|word| text.contains(word)))
}

fn project_files(tree: &SourceTree) -> impl Iterator<Item = &str> {
    let is_project = |path: &&str| ENDINGS.iter().any(|ending| path.ends_with(ending)) && path.matches('/').count() < 5;
    tree.paths().filter(is_project).take(MAX_PROJECTS)
}

/// The programs, those of the best sort only: a server that has its client inside is the app.
fn programs(tree: &SourceTree) -> Vec<Project> {
    let read = |path: &str| {
        let text = tree.text(path)?;
        Some(Project { path: path.parse().ok()?, sort: sort(&text)?, text })
    };
    let mut found: Vec<Project> = project_files(tree).filter_map(read).collect();
    let best = found.iter().map(|project| project.sort).min();
    found.retain(|project| Some(project.sort) == best);
    found
}

fn the_program(tree: &SourceTree) -> Result<Project, GenerateError> {
    let found = programs(tree);
    let near = found.iter().find(|project| project.path.parent().is_root());
    let named = || NAMES.iter().find_map(|name| found.iter().find(|project| is_called(project, name)));
    let only = || found.first().filter(|_| found.len() == 1);
    let reason = "no project file is of a server, of a worker or of a program; set OutputType to Exe or use Microsoft.NET.Sdk.Web";
    near.or_else(only).or_else(named).cloned().ok_or_else(|| match found.is_empty() {
        true => GenerateError::no_start("dotnet", reason),
        false => {
            let list: Vec<_> = found.iter().map(|project| project.path.parent().to_string()).collect();
            GenerateError::SeveralApps(list.join(", "))
        }
    })
}

fn is_called(project: &Project, name: &str) -> bool {
    let last = stem(&project.path).rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    last == *name
}

/// The name of a project file without its ending.
fn stem(path: &RelPath) -> &str {
    let file = path.as_str().rsplit('/').next().unwrap_or_default();
    file.rsplit_once('.').map_or(file, |(stem, _)| stem)
}

impl Stack for Dotnet {
    fn name(&self) -> &'static str {
        "dotnet"
    }

    fn looks_for(&self) -> &'static str {
        "a project file such as .csproj (.NET)"
    }

    fn detect(&self, look: &Look<'_>) -> Option<Candidate> {
        let first = project_files(&look.here).next()?;
        let candidate = |confidence, path: &str, why| Some(Candidate::new("dotnet", confidence).because(path, why));
        let found = programs(&look.here);
        match found.first().map(|project| (project.sort, project.path.as_str())) {
            Some((Sort::Web, path)) => candidate(92, path, "an ASP.NET server"),
            Some((Sort::Wasm, path)) => candidate(90, path, "a Blazor app"),
            Some((Sort::Worker, path)) => candidate(85, path, "a worker"),
            Some((Sort::Program, path)) => candidate(60, path, "a program"),
            None => candidate(45, first, "a .NET project"),
        }
    }

    fn plan(&self, look: &Look<'_>) -> Result<BuildPlan, GenerateError> {
        let project = the_program(&look.here)?;
        let context = context(look);
        let shared = look.tree.below(&context).text("Directory.Build.props").unwrap_or_default();
        let target = target(&project.text).or_else(|| target(&shared));
        let version = choose(target.as_deref())?;
        let sources = scan::sources(&look.here.below(&project.path.parent()), &[".cs", ".fs"]);
        if let Some((path, url)) = sources.iter().find_map(|(path, text)| Some((path, LOCAL_ONLY.first(text)?))) {
            let reason = format!(
                "{path} listens on {url} alone, which nobody else reaches; leave the address to ASPNETCORE_URLS"
            );
            return Err(GenerateError::Unsupported { stack: "dotnet", reason });
        }
        let directory = project.path.parent();
        let client = ["ClientApp", "client"].iter().find_map(|name| Some(directory.join(&name.parse().ok()?)));
        let client = client.filter(|_| ["SpaRoot", "npm "].iter().any(|word| project.text.contains(word)));
        let front_end = client.map(|client| front_end::find(look, &client)).transpose()?.flatten();
        Draft { look, project, context, target, version, sources, front_end }.plan()
    }
}

/// The newest of the frameworks that the project targets, as a number such as `8.0`.
fn target(text: &str) -> Option<String> {
    let mut numbers: Vec<&str> = FRAMEWORK.first(text)?.split(';').filter_map(|name| NUMBER.first(name)).collect();
    numbers.sort_by_key(|number| number.split('.').next().and_then(|major| major.parse::<u32>().ok()));
    numbers.last().map(|number| (*number).to_owned())
}

fn choose(target: Option<&str>) -> Result<Choice, GenerateError> {
    let same: versions::Reader = |text, series| Some(series.name == text);
    let demand = target.and_then(|text| Demand::read(&DOTNET, same, text, "the project's TargetFramework"));
    Ok(versions::choose(&DOTNET, &Demands { own: demand.into_iter().collect(), ..Demands::default() })?)
}

/// Projects refer to others beside them, so the build sees all that the solution does.
fn context(look: &Look<'_>) -> RelPath {
    let marks = ["Directory.Build.props", "Directory.Packages.props", "global.json"];
    let solution = |path: &RelPath| {
        let tree = look.tree.below(path);
        let has = |path: &str| !path.contains('/') && (path.ends_with(".sln") || path.ends_with(".slnx"));
        marks.iter().any(|name| tree.has(name)) || tree.paths().any(has)
    };
    look.upwards().filter(solution).last().unwrap_or_else(|| look.at.clone())
}

struct Draft<'a> {
    look: &'a Look<'a>,
    project: Project,
    context: RelPath,
    target: Option<String>,
    version: Choice,
    sources: Vec<(String, String)>,
    front_end: Option<FrontEnd>,
}

impl Draft<'_> {
    fn plan(self) -> Result<BuildPlan, GenerateError> {
        let project = self.look.from_context(&self.context).join(&self.project.path);
        let mut notes = vec![self.version.reason.clone(), format!("project: {project}")];
        let kind = match self.project.sort {
            Sort::Web => Kind::Server,
            Sort::Wasm => Kind::Spa,
            // What only another platform's line calls a web process answers HTTP by its own means.
            Sort::Program if !self.look.hints.web.is_empty() || self.look.wishes.port.is_some() => Kind::Server,
            Sort::Worker | Sort::Program => Kind::Worker,
        };
        let build = self.stage(&project, &mut notes);
        let runtime = match kind {
            Kind::Spa => site::runtime(self.look, Site::APP.with_immutable(&["/_framework/"]), "/out/wwwroot"),
            _ => self.process(kind, &mut notes)?,
        };
        let template = include_str!("../../../../templates/dockerfile/dotnet.hbs");
        let mut plan = BuildPlan::new(template, self.context.clone(), runtime);
        plan.about.kind = kind;
        plan.about.framework = match self.project.sort {
            Sort::Web => Some("aspnet".into()),
            Sort::Wasm => Some("blazor".into()),
            Sort::Worker | Sort::Program => None,
        };
        plan.about.package_manager = Some("nuget".into());
        plan.about.runtime = Some(format!("dotnet {}", self.version.series.name));
        plan.about.build_command = Some("dotnet publish -c Release".into());
        plan.about.output_dir = (kind == Kind::Spa).then(|| "wwwroot".to_owned());
        plan.about.needs = services::needs(&self.look.hints.needs, &self.project.text, SERVICES);
        plan.about.warnings = self.warnings();
        plan.build = Some(build);
        notes.extend(self.front_end.as_ref().map(|front_end| front_end.note.clone()));
        plan.assets = self.front_end.map(|front_end| front_end.stage);
        plan.notes = notes;
        Ok(plan)
    }

    fn image(&self, name: &str, tag: &str) -> BaseImage {
        BaseImage::new(&format!("mcr.microsoft.com/dotnet/{name}:{tag}"))
    }

    /// `global.json` names one SDK, and only a rule in it lets another one in.
    fn sdk(&self, notes: &mut Vec<String>) -> String {
        let global = json(&self.look.tree.below(&self.context), "global.json").unwrap_or_default();
        let text = |pointer: &str| global.pointer(pointer).and_then(|value| value.as_str());
        let usual = self.version.series.name.to_owned();
        let Some(exact) = text("/sdk/version").and_then(|version| SDK_VERSION.first(version)) else { return usual };
        let major = exact.split('.').next().unwrap_or_default();
        match text("/sdk/rollForward") {
            Some("latestMajor" | "major") => usual,
            Some("latestMinor" | "minor" | "latestFeature" | "feature") => format!("{major}.0"),
            _ => {
                notes.push(format!("sdk {exact}: global.json lets no other one in"));
                exact.to_owned()
            }
        }
    }

    fn stage(&self, project: &RelPath, notes: &mut Vec<String>) -> Stage {
        let mut stage = Stage::on(self.image("sdk", &self.sdk(notes)));
        stage.env =
            env([("DOTNET_CLI_TELEMETRY_OPTOUT", "1"), ("DOTNET_NOLOGO", "true"), ("NUGET_XMLDOC_MODE", "skip")]);
        if let Some(front_end) = &self.front_end {
            stage.env.extend(front_end.stage.env.clone());
        }
        let file = format!("./{project}");
        let locked = self.look.here.below(&self.project.path.parent()).has("packages.lock.json");
        let locked: &[&str] = if locked { &["-p:RestoreLockedMode=true"] } else { &[] };
        let words =
            ["dotnet", "publish", &file, "--configuration", "Release", "--output", "/out", "-p:UseAppHost=false"];
        // A package's own build steps may write into the folder, so that no app shares it.
        let app = self.look.wishes.app.map(|app| format!("-{app}")).unwrap_or_default();
        let step = Step::new(&[&words, locked].concat()).cached(format!("byop-nuget{app}"), "/root/.nuget/packages");
        notes.push(format!("build: {}", step.shown()));
        stage.build = vec![step];
        stage
    }

    fn process(&self, kind: Kind, notes: &mut Vec<String>) -> Result<Runtime, GenerateError> {
        let name = ASSEMBLY.first(&self.project.text).unwrap_or_else(|| stem(&self.project.path));
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if name.is_empty() || !name.chars().all(plain) {
            return Err(GenerateError::no_start(
                "dotnet",
                "the project's name has characters that no program's name has",
            ));
        }
        let base = if self.project.sort == Sort::Web { "aspnet" } else { "runtime" };
        let mut runtime = Runtime::on(self.image(base, self.version.series.name));
        runtime.artefacts = vec![Artefact::built("/out", "/app")];
        if self.is_other_version() {
            runtime.env = env([("DOTNET_ROLL_FORWARD", "Major")]);
        }
        if kind == Kind::Server {
            let port = scan::port(self.look, 8080);
            runtime.env.extend(self.addresses(port));
            let probe = scan::probe(&self.sources, self.look, port, notes);
            runtime.port = Some(port);
            runtime.health = Some(Health::new(probe, Probe::bash));
        }
        runtime.start = vec!["dotnet".into(), format!("/app/{name}.dll")];
        notes.push(format!("start: {}", runtime.start.join(" ")));
        Ok(runtime)
    }

    /// The project targets a version that no image is known of.
    fn is_other_version(&self) -> bool {
        self.target.as_deref().is_some_and(|target| target != self.version.series.name)
    }

    fn addresses(&self, port: Port) -> std::collections::BTreeMap<crate::domain::EnvName, String> {
        env([
            ("PORT", port.to_string()),
            ("ASPNETCORE_URLS", format!("http://0.0.0.0:{port}")),
            // Nobody but the proxy in front reaches a release.
            ("ASPNETCORE_FORWARDEDHEADERS_ENABLED", "true".into()),
        ])
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.version.warnings.clone();
        let migrates = self.sources.iter().any(|(_, text)| text.contains("Database.Migrate"));
        let has_migrations = self.look.here.paths().any(|path| path.contains("Migrations/") && path.ends_with(".cs"));
        if has_migrations && !migrates {
            warnings
                .push("migrations are not run; let the app call Database.Migrate, or run them before a release".into());
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::recipe::Wishes;

    const WEB: &str = "<Project Sdk=\"Microsoft.NET.Sdk.Web\"><TargetFramework>net8.0</TargetFramework></Project>";

    fn planned(files: &[(&str, &str)], at: &str) -> String {
        let tree = SourceTree::in_memory(files.iter().copied());
        let wishes = Wishes::default();
        let look = Look::new(&tree, &at.parse().expect("path"), &wishes);
        match Dotnet.plan(&look) {
            Ok(plan) => {
                let build = serde_json::to_string(&plan.build.expect("stage").image).expect("JSON");
                let runtime = serde_json::to_string(&plan.runtime.image).expect("JSON");
                format!("{build} {runtime} {} {:?}", plan.runtime.start.join(" "), plan.context.as_str())
                    .replace("mcr.microsoft.com/dotnet/", "")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn projects() {
        assert_eq!(planned(&[("Shop.csproj", WEB)], ""), r#""sdk:8.0" "aspnet:8.0" dotnet /app/Shop.dll """#);
        let test = "<PackageReference Include=\"Microsoft.NET.Test.Sdk\"/><OutputType>Exe</OutputType>";
        let files = [("App.sln", ""), ("src/Shop.Api/Shop.Api.csproj", WEB), ("test/T/T.csproj", test)];
        assert_eq!(planned(&files, ""), r#""sdk:8.0" "aspnet:8.0" dotnet /app/Shop.Api.dll """#);
        assert_eq!(planned(&files, "src/Shop.Api"), r#""sdk:8.0" "aspnet:8.0" dotnet /app/Shop.Api.dll """#);
        let two = [("a/A.Api.csproj", WEB), ("b/B.csproj", WEB)];
        assert!(planned(&two, "").contains("A.Api.dll"));
        let equal = [("a/A.csproj", WEB), ("b/B.csproj", WEB)];
        assert!(planned(&equal, "").contains("several apps (a, b)"));
        assert!(planned(&[("Lib.csproj", "<Project Sdk=\"Microsoft.NET.Sdk\"/>")], "").contains("not how it starts"));
    }

    #[test]
    fn versions_of_the_sdk() {
        let with = |global: &'static str| planned(&[("a.csproj", WEB), ("global.json", global)], "");
        assert!(with(r#"{"sdk":{"version":"8.0.100"}}"#).starts_with("\"sdk:8.0.100\""));
        assert!(
            with(r#"{"sdk":{"version":"9.0.100","rollForward":"latestFeature"}}"#)
                .starts_with("\"sdk:9.0\" \"aspnet:8.0\"")
        );
        assert!(with(r#"{"sdk":{"version":"8.0.100; id"}}"#).starts_with("\"sdk:8.0\""));
        assert_eq!(target("<TargetFrameworks>net8.0;net10.0</TargetFrameworks>").as_deref(), Some("10.0"));
        assert_eq!(target("<TargetFramework>net48</TargetFramework>"), None);
    }

    #[test]
    fn a_server_for_its_own_machine_alone_is_refused() {
        let files = [("a.csproj", WEB), ("Program.cs", "app.Run(\"http://localhost:5000\");")];
        assert!(planned(&files, "").contains("listens on http://localhost alone"));
    }
}
