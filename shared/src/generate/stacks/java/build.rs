//! The steps that make a program, and where it lies afterwards.
//!
//! Invariant: the runtime gets the program alone, never the tree that it was built from, unless its start command names
//! files of that tree.

use super::{
    gradle::Plugin,
    project::{Project, Tool, main_class},
    start::{JAR, Start},
};
use crate::{
    domain::RelPath,
    generate::{
        error::GenerateError,
        plan::{Artefact, Step},
        source::SourceTree,
    },
};

/// Takes the one jar that can be started; the name of the directory comes as `$0`. The biggest one is the one that has
/// its libraries inside.
const COLLECT: &str = "mkdir -p /out /tmp/jar; best= most=0; for f in \"$0\"/*.jar \"$0\"/*.war; do [ -f \"$f\" ] || continue; \
case ${f##*/} in *-sources.* | *-javadoc.* | *-tests.* | *-plain.* | original-*) continue ;; esac; \
(rm -rf /tmp/jar/META-INF && env -C /tmp/jar jar xf \"$f\" META-INF/MANIFEST.MF && grep -q '^Main-Class:' /tmp/jar/META-INF/MANIFEST.MF) || continue; \
size=$(stat -c %s \"$f\"); [ \"$size\" -gt \"$most\" ] || continue; best=$f most=$size; done; \
[ -n \"$best\" ] || { echo \"no jar in $0 says which class to start; let the build write Main-Class into its manifest\" >&2; exit 1; }; \
cp \"$best\" /out/app.jar";
/// The jar of the module and the libraries beside it.
const COLLECT_PATH: &str = "mkdir -p /out/lib; best= most=0; for f in \"$0\"/*.jar; do [ -f \"$f\" ] || continue; \
case ${f##*/} in *-sources.* | *-javadoc.* | *-tests.*) continue ;; esac; \
size=$(stat -c %s \"$f\"); [ \"$size\" -gt \"$most\" ] || continue; best=$f most=$size; done; \
cp \"$best\" /out/app.jar && if [ -d \"$0/dependency\" ]; then cp -r \"$0/dependency/.\" /out/lib/; fi";
/// The libraries of the distribution, which has the name of the project.
const COLLECT_DISTRIBUTION: &str = "mkdir -p /out/lib && cp \"$0\"/*/lib/*.jar /out/lib/";
/// Plugins of Maven that put an app and its libraries into one file.
const MAVEN_FAT: &[&str] = &[
    "spring-boot-maven-plugin",
    "quarkus-maven-plugin",
    "micronaut-maven-plugin",
    "maven-shade-plugin",
    "maven-assembly-plugin",
    "spring-boot-starter-parent",
];

/// What is run and how it came to be.
pub struct Program {
    pub build: Vec<Step>,
    pub artefacts: Vec<Artefact>,
    /// The arguments of `java`.
    pub arguments: Vec<String>,
}

/// What the build leaves.
enum Output {
    /// One file with everything in it.
    Jar(String),
    /// Quarkus' own layout.
    Quarkus(String),
    /// A jar, its libraries and the class to start.
    ClassPath { directory: String, main: String },
    /// The libraries of a distribution and the class to start.
    Distribution { directory: String, main: String },
    /// Files that the start command names.
    Kept(Vec<String>),
}

pub fn program(project: &Project, tree: &SourceTree, start: Option<&Start>) -> Result<Program, GenerateError> {
    let output = match (start.filter(|start| start.keeps), project.tool) {
        (Some(_), tool) => Output::Kept(kept(&project.module, tool)),
        (None, Tool::Maven) => maven(project, tree)?,
        (None, Tool::Gradle) => gradle(project, tree)?,
    };
    let mut build = match project.tool {
        Tool::Maven => maven_steps(project, &output),
        Tool::Gradle => gradle_steps(project, &output),
    };
    build.extend(collect(&output));
    Ok(Program { build, artefacts: artefacts(&output), arguments: arguments(&output) })
}

/// A path of the module in the stage that builds it.
fn below(module: &RelPath, path: &str) -> String {
    if module.is_root() { format!("/app/{path}") } else { format!("/app/{module}/{path}") }
}

fn kept(module: &RelPath, tool: Tool) -> Vec<String> {
    vec![below(module, if tool == Tool::Maven { "target" } else { "build" })]
}

fn no_main(place: &str) -> GenerateError {
    let reason = format!(
        "{place} names no main class, and not exactly one source file has a main; name it, or start it in a Procfile"
    );
    GenerateError::no_start("java", reason)
}

fn maven(project: &Project, tree: &SourceTree) -> Result<Output, GenerateError> {
    let target = below(&project.module, "target");
    if project.pom.packaging() == "war" && !project.manifests.contains("spring-boot-maven-plugin") {
        let reason = "a WAR file needs a servlet container; package the app with an embedded one, or add a Dockerfile";
        return Err(GenerateError::Unsupported { stack: "java", reason: reason.into() });
    }
    if project.manifests.contains("quarkus-maven-plugin") && !is_uber(project, tree) {
        return Ok(Output::Quarkus(format!("{target}/quarkus-app")));
    }
    if MAVEN_FAT.iter().any(|word| project.manifests.contains(word)) {
        return Ok(Output::Jar(target));
    }
    let named = ["exec.mainClass", "mainClass", "main.class", "start-class"];
    let named =
        named.iter().find_map(|name| project.pom.resolved(name)).filter(|name| is_class(name)).map(str::to_owned);
    let main = named.or_else(|| main_class(tree)).ok_or_else(|| no_main("pom.xml"))?;
    Ok(Output::ClassPath { directory: target, main })
}

fn is_class(name: &str) -> bool {
    name.len() <= 200
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._$".contains(c))
}

fn is_uber(project: &Project, tree: &SourceTree) -> bool {
    let settings = tree.text("src/main/resources/application.properties").unwrap_or_default();
    [project.manifests.as_str(), &settings].iter().any(|text| text.contains("uber-jar"))
}

fn gradle(project: &Project, tree: &SourceTree) -> Result<Output, GenerateError> {
    let build = below(&project.module, "build");
    match project.gradle.plugin() {
        Some(Plugin::Quarkus) if !is_uber(project, tree) => Ok(Output::Quarkus(format!("{build}/quarkus-app"))),
        Some(Plugin::Quarkus) => Ok(Output::Jar(build)),
        Some(Plugin::SpringBoot | Plugin::Ktor | Plugin::Shadow) => Ok(Output::Jar(format!("{build}/libs"))),
        Some(Plugin::Application) => {
            let main =
                project.gradle.main_class().or_else(|| main_class(tree)).ok_or_else(|| no_main("the Gradle build"))?;
            Ok(Output::Distribution { directory: format!("{build}/install"), main })
        }
        None => {
            let reason = "the Gradle build makes no program; apply the plugin application and name the mainClass, or start it in a Procfile";
            Err(GenerateError::no_start("java", reason))
        }
    }
}

fn maven_steps(project: &Project, output: &Output) -> Vec<Step> {
    let program: &[&str] = if project.wrapper { &["sh", "mvnw"] } else { &["mvn"] };
    let module = project.module.as_str();
    let only: &[&str] = if module.is_empty() { &[] } else { &["-pl", module, "-am"] };
    // One time for all entries of an archive, whenever it is made; it is the first that a zip file can have.
    let fixed = "-Dproject.build.outputTimestamp=1980-02-01T00:00:00Z";
    let run = |words: &[&str]| Step::new(&[program, &["-B", "-ntp", "-DskipTests", fixed], only, words].concat());
    match output {
        Output::ClassPath { .. } if project.manifests.contains("<dependency>") => {
            vec![run(&["package", "dependency:copy-dependencies", "-DincludeScope=runtime"])]
        }
        _ => vec![run(&["package"])],
    }
}

fn gradle_steps(project: &Project, output: &Output) -> Vec<Step> {
    let program: &[&str] = if project.wrapper { &["sh", "gradlew"] } else { &["gradle"] };
    let task = match (output, project.gradle.plugin()) {
        (Output::Distribution { .. }, _) => "installDist",
        // A line of Heroku's expects what its own task makes.
        (Output::Kept(_), _) if project.manifests.contains("\"stage\"") || project.manifests.contains("task stage") => {
            "stage"
        }
        (Output::Kept(_), Some(Plugin::Application)) => "installDist",
        (_, Some(Plugin::SpringBoot)) => "bootJar",
        (_, Some(Plugin::Quarkus)) => "quarkusBuild",
        (_, Some(Plugin::Ktor)) => "buildFatJar",
        (_, Some(Plugin::Shadow)) => "shadowJar",
        _ => "assemble",
    };
    let path = project.module.as_str().replace('/', ":");
    let task = if path.is_empty() { task.to_owned() } else { format!(":{path}:{task}") };
    vec![Step::new(&[program, &["--no-daemon", "--console=plain", &task]].concat())]
}

fn collect(output: &Output) -> Option<Step> {
    let (script, directory) = match output {
        Output::Jar(directory) => (COLLECT, directory),
        Output::ClassPath { directory, .. } => (COLLECT_PATH, directory),
        Output::Distribution { directory, .. } => (COLLECT_DISTRIBUTION, directory),
        Output::Quarkus(_) | Output::Kept(_) => return None,
    };
    Some(Step::new(&["sh", "-c", script, directory]))
}

fn artefacts(output: &Output) -> Vec<Artefact> {
    match output {
        Output::Jar(_) => vec![Artefact::built("/out/app.jar", JAR)],
        // The libraries change seldom, so they are a layer of their own.
        Output::ClassPath { .. } => vec![Artefact::built("/out/lib", "/app/lib"), Artefact::built("/out/app.jar", JAR)],
        Output::Distribution { .. } => vec![Artefact::built("/out/lib", "/app/lib")],
        Output::Quarkus(directory) => ["lib", "app", "quarkus", "quarkus-run.jar"]
            .iter()
            .map(|part| Artefact::built(format!("{directory}/{part}"), format!("/app/{part}")))
            .collect(),
        Output::Kept(paths) => paths.iter().map(|path| Artefact::built(path, path)).collect(),
    }
}

fn arguments(output: &Output) -> Vec<String> {
    let words: Vec<&str> = match output {
        Output::Jar(_) => vec!["-jar", JAR],
        Output::Quarkus(_) => vec!["-jar", "/app/quarkus-run.jar"],
        Output::ClassPath { main, .. } => vec!["-cp", "/app/app.jar:/app/lib/*", main],
        Output::Distribution { main, .. } => vec!["-cp", "/app/lib/*", main],
        Output::Kept(_) => Vec::new(),
    };
    words.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        assert!(is_class("a.b.Main$Inner") && is_class("Main"));
        assert!(!is_class("a; id") && !is_class("") && !is_class("-Dx") && !is_class("a b"));
    }
}
