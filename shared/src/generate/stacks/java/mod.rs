//! Java and Kotlin apps, built by Maven or Gradle with the repository's own wrapper where it has one.
//!
//! The image that runs has a Java runtime and the program, not the tools and not the sources. Absent: servlet containers
//! for WAR files, native images.

mod build;
mod framework;
mod gradle;
mod pom;
mod project;
mod start;
mod versions;

use framework::Framework;
use project::{Project, Tool};
use start::Start;
use versions::Told;

use super::{
    Stack,
    services::{self, Service},
};
use crate::{
    domain::{HealthPath, Port, RelPath},
    generate::{
        command,
        detect::Candidate,
        error::GenerateError,
        images::BaseImage,
        look::Look,
        plan::{BuildPlan, Health, Kind, Runtime, Stage, Step, env},
        probe::Probe,
        scan,
        versions::Choice,
    },
};

pub struct Java;

/// Of the memory that the container may use; the rest is for the runtime itself.
const OPTIONS: &[&str] = &["-XX:MaxRAMPercentage=75", "-XX:+ExitOnOutOfMemoryError"];
const SERVICES: &[Service] = &[
    ("postgresql", "postgres"),
    ("mysql", "mysql"),
    ("mariadb", "mysql"),
    ("mongodb", "mongodb"),
    ("data-redis", "redis"),
    ("redis-client", "redis"),
    ("jedis", "redis"),
    ("lettuce", "redis"),
    ("amqp", "rabbitmq"),
    ("kafka", "kafka"),
];
const SERVER_LIBRARIES: &[&str] =
    &["jetty-server", "undertow", "grizzly", "netty", "dropwizard", "ratpack", "javalite"];

struct Found {
    project: Project,
    framework: Option<&'static Framework>,
    start: Option<Start>,
    main: Option<String>,
}

impl Found {
    fn read(look: &Look<'_>) -> Result<Option<Self>, GenerateError> {
        let start = start::hinted(&look.hints.web).or_else(|| start::hinted(&look.hints.worker));
        let wanted = start.as_ref().and_then(|start| start.module.clone());
        let Some(project) = Project::find(look, wanted.as_ref())? else { return Ok(None) };
        let framework = framework::recognise(&project.manifests);
        let main = project::main_class(&project.tree(look));
        Ok(Some(Self { project, framework, start, main }))
    }

    fn manifest(&self) -> &'static str {
        if self.project.tool == Tool::Maven { "pom.xml" } else { "build.gradle" }
    }

    /// A process without HTTP is one that only a worker's line starts, or a framework without its web part.
    fn kind(&self, look: &Look<'_>) -> Kind {
        let only_worker = look.hints.web.is_empty() && start::hinted(&look.hints.worker).is_some();
        let silent = self.framework.is_some_and(|framework| !framework.serves(&self.project.manifests))
            && look.wishes.port.is_none()
            && look.hints.web.is_empty();
        if only_worker || silent { Kind::Worker } else { Kind::Server }
    }
}

impl Stack for Java {
    fn name(&self) -> &'static str {
        "java"
    }

    fn looks_for(&self) -> &'static str {
        "pom.xml or build.gradle (Java, Kotlin)"
    }

    fn detect(&self, look: &Look<'_>) -> Option<Candidate> {
        project::tool(&look.here)?;
        let found = match Found::read(look) {
            Ok(found) => found?,
            Err(_) => return Some(Candidate::new("java", 70).because("pom.xml", "a build of several apps")),
        };
        if found.project.gradle.is_android() {
            return None;
        }
        let candidate = |confidence| Candidate::new("java", confidence).because(found.manifest(), "a Java build");
        Some(match (&found.start, found.framework, &found.main) {
            (Some(start), _, _) => candidate(94).because(&start.from, "starts it"),
            // A front end beside the server is built by the server's own build.
            (None, Some(framework), _) => candidate(90).because(found.manifest(), framework.name),
            (None, None, Some(_)) => candidate(82).because("src", "one main class"),
            (None, None, None) => candidate(50),
        })
    }

    fn plan(&self, look: &Look<'_>) -> Result<BuildPlan, GenerateError> {
        let no_build = || GenerateError::no_start("java", "there is neither pom.xml nor build.gradle");
        let found = Found::read(look)?.ok_or_else(no_build)?;
        let version = versions::choose(look, &told(look, &found.project))?;
        Draft { look, kind: found.kind(look), found, version }.plan()
    }
}

/// What the build files say about Java's version; the app's own file counts more than its parents'.
fn told(look: &Look<'_>, project: &Project) -> Told {
    let root = look.tree.below(&project.context);
    if project.tool == Tool::Gradle {
        let parent = gradle::Build::read(&root, &RelPath::root()).unwrap_or_default();
        let own = [&project.gradle, &parent].into_iter().find(|build| build.java().is_some());
        return Told {
            target: own.and_then(|build| Some((build.java()?, "the Gradle build"))),
            exact: own.is_some_and(gradle::Build::has_toolchain),
            gradle: gradle::wrapper_version(&root).filter(|_| project.wrapper),
        };
    }
    let parent = pom::Pom::read(&root, &RelPath::root()).unwrap_or_default();
    let names = [
        "maven.compiler.release",
        "java.version",
        "maven.compiler.target",
        "maven.compiler.source",
        "release",
        "jdk.version",
        "kotlin.compiler.jvmTarget",
    ];
    let poms = [&project.pom, &parent];
    let value = poms.iter().find_map(|pom| names.iter().find_map(|name| pom.resolved(name)));
    Told { target: value.map(|text| (text.to_owned(), "pom.xml")), ..Told::default() }
}

struct Draft<'a> {
    look: &'a Look<'a>,
    found: Found,
    kind: Kind,
    version: Choice,
}

impl Draft<'_> {
    fn plan(self) -> Result<BuildPlan, GenerateError> {
        let project = &self.found.project;
        let tree = project.tree(self.look);
        let mut notes = project.notes.clone();
        notes.push(self.version.reason.clone());
        notes.push(format!(
            "build: {} ({})",
            self.tool(),
            if project.wrapper { "its wrapper is in the repository" } else { "no complete wrapper" }
        ));
        let program = build::program(project, &tree, self.found.start.as_ref())?;
        let mut build = Stage::on(self.build_image());
        // Maven's image sets it for its own entrypoint; the wrapper takes it for a goal.
        build.env = env((project.tool == Tool::Maven && project.wrapper).then_some(("MAVEN_CONFIG", "")));
        build.build = program.build.into_iter().map(|step| self.cached(step)).collect();
        let command = build.build.first().map(Step::shown);
        let mut runtime = Runtime::on(BaseImage::of_series("eclipse-temurin", self.version.series, "-jre"));
        runtime.artefacts = program.artefacts;
        let port = (self.kind == Kind::Server).then(|| scan::port(self.look, 8080));
        runtime.start = self.start(program.arguments, port);
        if let Some(port) = port {
            runtime.env = self.addresses(port);
            runtime.port = Some(port);
            runtime.health = Some(Health::new(self.probe(port, &mut notes), Probe::bash));
        }
        notes.push(format!("start: {}", runtime.start.join(" ")));
        let template = include_str!("../../../../../templates/dockerfile/java.hbs");
        let mut plan = BuildPlan::new(template, project.context.clone(), runtime);
        plan.build = Some(build);
        plan.about.kind = self.kind;
        plan.about.framework = self.found.framework.map(|framework| framework.name.to_owned());
        plan.about.package_manager =
            Some(if project.wrapper { format!("{} wrapper", self.tool()) } else { self.tool().to_owned() });
        plan.about.runtime = Some(format!("java {}", self.version.series.name));
        plan.about.build_command = command;
        plan.about.release =
            self.look.hints.release.iter().take(1).map(|hint| command::argv(&hint.text, None)).collect();
        plan.about.needs = services::needs(&self.look.hints.needs, &project.manifests, SERVICES);
        plan.about.warnings = self.warnings();
        plan.notes = notes;
        Ok(plan)
    }

    fn tool(&self) -> &'static str {
        if self.found.project.tool == Tool::Maven { "maven" } else { "gradle" }
    }

    fn build_image(&self) -> BaseImage {
        let java = self.version.series.name;
        match (self.found.project.tool, self.found.project.wrapper) {
            // The wrapper of Maven may need an archiver and a client to load Maven, which this image has.
            (Tool::Maven, _) => BaseImage::new(&format!("maven:3-eclipse-temurin-{java}")),
            (Tool::Gradle, true) => BaseImage::new(&format!("eclipse-temurin:{java}-jdk")),
            (Tool::Gradle, false) => BaseImage::new(&format!("gradle:8-jdk{java}")),
        }
    }

    /// The libraries that were loaded. Each app has its own: a build may write into them what it likes.
    fn cached(&self, step: Step) -> Step {
        let app = self.look.wishes.app.map(|app| format!("-{app}")).unwrap_or_default();
        match (step.argv.first().map(String::as_str), self.found.project.tool) {
            (Some("sh"), _) if step.argv.get(1).is_some_and(|word| word == "-c") => step,
            (_, Tool::Maven) => step.cached(format!("byop-maven{app}"), "/root/.m2"),
            (_, Tool::Gradle) if self.found.project.wrapper => {
                step.cached(format!("byop-gradle{app}"), "/root/.gradle")
            }
            (_, Tool::Gradle) => step.cached(format!("byop-gradle{app}"), "/home/gradle/.gradle"),
        }
    }

    fn start(&self, arguments: Vec<String>, port: Option<Port>) -> Vec<String> {
        let mut words = match &self.found.start {
            Some(start) => command::argv(&start.line, port),
            None => [vec!["java".to_owned()], arguments].concat(),
        };
        if words.first().is_some_and(|word| word == "java") {
            let told =
                |option: &str| words.iter().any(|word| word.starts_with("-Xmx") || option.starts_with(word.as_str()));
            let more: Vec<String> =
                OPTIONS.iter().filter(|option| !told(option)).map(|option| (*option).to_owned()).collect();
            words.splice(1..1, more);
        }
        words
    }

    fn addresses(&self, port: Port) -> std::collections::BTreeMap<crate::domain::EnvName, String> {
        let framework = self.found.framework;
        let number = framework.and_then(|framework| framework.port).map(|name| (name, port.to_string()));
        let host = framework.and_then(|framework| framework.host).map(|name| (name, "0.0.0.0".to_owned()));
        env([("PORT", port.to_string()), ("HOST", "0.0.0.0".into())].into_iter().chain(number).chain(host))
    }

    fn probe(&self, port: Port, notes: &mut Vec<String>) -> Probe {
        let project = &self.found.project;
        let tree = project.tree(self.look);
        let names = ["application.properties", "application.yml", "application.yaml"];
        let settings: String =
            names.iter().filter_map(|name| tree.text(&format!("src/main/resources/{name}"))).collect();
        let asked = self.look.wishes.health_path.is_some() || !self.look.hints.health_path.is_empty();
        let known = self.found.framework.and_then(|framework| framework.health(&project.manifests, &settings));
        let known: Option<HealthPath> = known.filter(|_| !asked).and_then(|path| path.parse().ok());
        match known {
            Some(path) => {
                notes.push(format!("health check: {path} (of the framework)"));
                Probe { port, path, bad_from: 400 }
            }
            None => scan::probe(&scan::sources(&tree, &[".java", ".kt"]), self.look, port, notes),
        }
    }

    fn warnings(&self) -> Vec<String> {
        let project = &self.found.project;
        let mut warnings = self.version.warnings.clone();
        let root = self.look.tree.below(&project.context);
        if project.tool == Tool::Gradle && root.has("gradlew") && !project.wrapper {
            warnings.push("gradlew is there, but gradle/wrapper/gradle-wrapper.jar is not; commit it to build with the same Gradle everywhere".into());
        }
        if self.kind == Kind::Server
            && self.found.framework.is_none()
            && !SERVER_LIBRARIES.iter().any(|word| project.manifests.contains(word))
        {
            let reads_port = scan::sources(&project.tree(self.look), &[".java", ".kt"])
                .iter()
                .any(|(_, text)| text.contains("\"PORT\""));
            if !reads_port {
                warnings.push("the app does not read the variable PORT; it must listen on 8080, or set the port that it listens on".into());
            }
        }
        warnings
    }
}
