//! Where a Java build begins and which module of it is the app.
//!
//! The build's context is the outermost project that lists the app among its modules. Invariant: of several modules that
//! may be the app none is taken by chance; the error names them.

use super::{
    gradle::{self, Build, Plugin},
    pom::Pom,
};
use crate::{
    domain::RelPath,
    generate::{error::GenerateError, look::Look, scan, source::SourceTree, stacks::pattern::Pattern},
};

/// What builds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    Maven,
    Gradle,
}

/// A build and its app.
#[derive(Clone, Debug)]
pub struct Project {
    pub tool: Tool,
    /// Whether the repository brings the wrapper, complete.
    pub wrapper: bool,
    pub context: RelPath,
    /// The app's directory, seen from the context.
    pub module: RelPath,
    /// All build files that say something about the app.
    pub manifests: String,
    /// What the app's own build file says.
    pub pom: Pom,
    pub gradle: Build,
    pub notes: Vec<String>,
}

/// Plugins of Maven that make a program of a module.
const MAVEN_PROGRAMS: &[&str] = &[
    "spring-boot-maven-plugin",
    "quarkus-maven-plugin",
    "micronaut-maven-plugin",
    "maven-shade-plugin",
    "maven-assembly-plugin",
    "exec-maven-plugin",
    "<mainClass>",
];
/// Names of a module that speak for the app.
const NAMES: &[&str] = &["app", "application", "server", "api", "web", "backend", "service"];
const MAX_DEPTH: usize = 8;

static JAVA_MAIN: Pattern = Pattern::new(r"(?m)^\s*(?:public\s+|final\s+)*static\s+(?:public\s+)?void\s+(main)\s*\(");
static KOTLIN_MAIN: Pattern = Pattern::new(r"(?m)^(?:suspend\s+)?fun\s+(main)\s*\(");
static PACKAGE: Pattern = Pattern::new(r"(?m)^package\s+([A-Za-z0-9_.]{1,150})");

pub fn tool(tree: &SourceTree) -> Option<Tool> {
    let gradle = ["build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"];
    match (tree.has("pom.xml"), gradle.iter().any(|name| tree.has(name))) {
        (true, false) => Some(Tool::Maven),
        (false, true) => Some(Tool::Gradle),
        (true, true) if prefers_gradle(tree) => Some(Tool::Gradle),
        (true, true) => Some(Tool::Maven),
        (false, false) => None,
    }
}

/// Two builds of one app: the one that other files use, else the one with its wrapper, else Maven.
fn prefers_gradle(tree: &SourceTree) -> bool {
    let used = tree.text("Procfile").unwrap_or_default();
    let (gradle, maven) = (used.contains("build/"), used.contains("target/"));
    gradle && !maven || !maven && tree.has("gradlew") && !tree.has("mvnw")
}

impl Project {
    /// `wanted` is the module that a start command names.
    pub fn find(look: &Look<'_>, wanted: Option<&RelPath>) -> Result<Option<Self>, GenerateError> {
        let Some(tool) = tool(&look.here) else { return Ok(None) };
        let context = context(look, tool);
        let root = look.tree.below(&context);
        let at = look.from_context(&context);
        let module = at.join(&match wanted.filter(|path| has_build(&look.here, path)) {
            Some(path) => path.clone(),
            None => module(&look.here, tool)?,
        });
        let mut project = Self {
            tool,
            wrapper: has_wrapper(&root, tool),
            manifests: manifests(&root, &module),
            pom: Pom::read(&root, &module).unwrap_or_default(),
            gradle: Build::read(&root, &module).unwrap_or_default(),
            notes: Vec::new(),
            context,
            module,
        };
        if look.here.has("pom.xml") && (look.here.has("build.gradle") || look.here.has("build.gradle.kts")) {
            let (used, other) = if tool == Tool::Maven { ("Maven", "Gradle") } else { ("Gradle", "Maven") };
            project.notes.push(format!(
                "there are builds of Maven and of Gradle; {used} is used, delete {other}'s if it is old"
            ));
        }
        if !project.module.is_root() {
            project.notes.push(format!("module: {}", project.module));
        }
        Ok(Some(project))
    }

    /// The app's own files.
    pub fn tree(&self, look: &Look<'_>) -> SourceTree {
        look.tree.below(&self.context).below(&self.module)
    }
}

/// The outermost directory whose build has the app as a module.
fn context(look: &Look<'_>, tool: Tool) -> RelPath {
    let mut context = look.at.clone();
    for above in look.upwards().skip(1).take(MAX_DEPTH) {
        let tree = look.tree.below(&above);
        let listed = match tool {
            Tool::Maven => Pom::read(&tree, &RelPath::root()).map(|pom| pom.modules()).unwrap_or_default(),
            Tool::Gradle => gradle::modules(&tree),
        };
        if listed.iter().any(|module| above.join(module) == context) {
            context = above;
        }
    }
    context
}

fn has_build(tree: &SourceTree, directory: &RelPath) -> bool {
    Pom::read(tree, directory).is_some() || Build::read(tree, directory).is_some()
}

/// A wrapper without its parts, as some ignore files leave it, cannot run.
fn has_wrapper(root: &SourceTree, tool: Tool) -> bool {
    match tool {
        Tool::Maven => root.has("mvnw") && root.has(".mvn/wrapper/maven-wrapper.properties"),
        Tool::Gradle => root.has("gradlew") && gradle::wrapper_version(root).is_some() && has_wrapper_jar(root),
    }
}

fn has_wrapper_jar(root: &SourceTree) -> bool {
    root.has("gradle/wrapper/gradle-wrapper.jar")
}

/// The build files from the context down to the module, and the version catalogue.
fn manifests(root: &SourceTree, module: &RelPath) -> String {
    let mut directories = vec![RelPath::root()];
    directories.extend((!module.is_root()).then(|| module.clone()));
    let names = ["pom.xml", "build.gradle", "build.gradle.kts"];
    let own = directories.iter().flat_map(|directory| names.map(|name| inside(directory, name)));
    let all = own.chain(["gradle/libs.versions.toml".to_owned()]);
    all.filter_map(|path| root.text(&path)).collect::<Vec<_>>().join("\n")
}

/// A file of a directory.
fn inside(directory: &RelPath, name: &str) -> String {
    if directory.is_root() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// The module to run, from the app's directory: the root of the tree when that is a program.
fn module(tree: &SourceTree, tool: Tool) -> Result<RelPath, GenerateError> {
    let listed = match tool {
        Tool::Maven => maven_modules(tree),
        Tool::Gradle => gradle::modules(tree),
    };
    if listed.is_empty() || is_program(tree, &RelPath::root(), tool) {
        return Ok(RelPath::root());
    }
    let mut programs: Vec<RelPath> = listed.iter().filter(|module| is_program(tree, module, tool)).cloned().collect();
    if programs.is_empty() {
        programs = listed.into_iter().filter(|module| main_class(&tree.below(module)).is_some()).collect();
    }
    let named =
        || NAMES.iter().find_map(|name| programs.iter().find(|path| path.as_str().rsplit('/').next() == Some(name)));
    match programs.as_slice() {
        [only] => Ok(only.clone()),
        [] => Ok(RelPath::root()),
        several => named().cloned().ok_or_else(|| {
            let list: Vec<_> = several.iter().map(RelPath::as_str).collect();
            GenerateError::SeveralApps(list.join(", "))
        }),
    }
}

/// Modules of modules too.
fn maven_modules(tree: &SourceTree) -> Vec<RelPath> {
    let mut all: Vec<RelPath> = Vec::new();
    let mut waiting = vec![(RelPath::root(), 0)];
    while let Some((directory, depth)) = waiting.pop() {
        let modules = Pom::read(tree, &directory).map(|pom| pom.modules()).unwrap_or_default();
        for module in modules.iter().map(|module| directory.join(module)) {
            if depth < MAX_DEPTH && all.len() < 200 && !all.contains(&module) && has_build(tree, &module) {
                waiting.push((module.clone(), depth + 1));
                all.push(module);
            }
        }
    }
    all
}

fn is_program(tree: &SourceTree, module: &RelPath, tool: Tool) -> bool {
    match tool {
        Tool::Maven => {
            Pom::read(tree, module).is_some_and(|pom| pom.packaging() != "pom" && pom.mentions(MAVEN_PROGRAMS))
        }
        Tool::Gradle => Build::read(tree, module).and_then(|build| build.plugin()).is_some_and(is_a_program),
    }
}

fn is_a_program(plugin: Plugin) -> bool {
    matches!(plugin, Plugin::SpringBoot | Plugin::Quarkus | Plugin::Ktor | Plugin::Shadow | Plugin::Application)
}

/// The class that `java` is to start, when the sources have exactly one.
pub fn main_class(tree: &SourceTree) -> Option<String> {
    let sources = scan::sources(tree, &[".java", ".kt"]);
    let starts =
        |path: &str, text: &str| if path.ends_with(".kt") { KOTLIN_MAIN.is_in(text) } else { JAVA_MAIN.is_in(text) };
    let mut found =
        sources.iter().filter(|(path, text)| starts(path, text)).filter_map(|(path, text)| class(path, text));
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// The name of the class that a file makes: its package and its stem, each part an identifier.
fn class(path: &str, text: &str) -> Option<String> {
    let (stem, ending) = path.rsplit('/').next()?.rsplit_once('.')?;
    let suffix = if ending == "kt" { "Kt" } else { "" };
    let name = format!("{stem}{suffix}");
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_').then_some(())?;
    Some(match PACKAGE.first(text) {
        Some(package) => format!("{package}.{name}"),
        None => name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::recipe::Wishes;

    const BOOT: &str = "<artifactId>spring-boot-maven-plugin</artifactId>";

    fn found(files: &[(&str, &str)], at: &str) -> String {
        let tree = SourceTree::in_memory(files.iter().copied());
        let wishes = Wishes::default();
        let look = Look::new(&tree, &at.parse().expect("path"), &wishes);
        match Project::find(&look, None) {
            Ok(Some(p)) => format!("{:?} {:?} {:?} {}", p.tool, p.context.as_str(), p.module.as_str(), p.wrapper),
            Ok(None) => "-".into(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn maven() {
        let parent = ("pom.xml", "<packaging>pom</packaging><module>core</module><module>web</module>");
        let both = [parent, ("core/pom.xml", ""), ("web/pom.xml", BOOT)];
        assert_eq!(found(&[("pom.xml", BOOT), ("mvnw", "")], ""), "Maven \"\" \"\" false");
        assert_eq!(found(&both, ""), "Maven \"\" \"web\" false");
        assert_eq!(found(&both, "web"), "Maven \"\" \"web\" false");
        let two = [parent, ("core/pom.xml", BOOT), ("web/pom.xml", BOOT)];
        assert_eq!(found(&two, ""), "Maven \"\" \"web\" false");
        let equal = [("pom.xml", "<module>a</module><module>b</module>"), ("a/pom.xml", BOOT), ("b/pom.xml", BOOT)];
        assert!(found(&equal, "").contains("several apps (a, b)"));
        let plain = [
            ("pom.xml", "<module>a</module>"),
            ("a/pom.xml", ""),
            ("a/src/main/java/A.java", "public static void main(String[] a)"),
        ];
        assert_eq!(found(&plain, ""), "Maven \"\" \"a\" false");
    }

    #[test]
    fn gradle() {
        let files = [
            ("settings.gradle.kts", "include(\"app\", \"lib\")"),
            ("app/build.gradle.kts", "plugins {\n  application\n}"),
            ("lib/build.gradle.kts", ""),
        ];
        assert_eq!(found(&files, ""), "Gradle \"\" \"app\" false");
        assert_eq!(found(&files, "app"), "Gradle \"\" \"app\" false");
        let wrapper = [
            ("build.gradle", "id 'application'"),
            ("gradlew", ""),
            ("gradle/wrapper/gradle-wrapper.jar", ""),
            ("gradle/wrapper/gradle-wrapper.properties", "distributionUrl=x/gradle-8.5-bin.zip"),
        ];
        assert_eq!(found(&wrapper, ""), "Gradle \"\" \"\" true");
        assert_eq!(found(&[("android/build.gradle", ""), ("android/gradlew", "")], ""), "-");
    }

    #[test]
    fn both_builds() {
        let both = |more: &'static str| found(&[("pom.xml", BOOT), ("build.gradle", ""), (more, "")], "");
        assert!(both("mvnw").starts_with("Maven") && both("gradlew").starts_with("Gradle"));
        let used = found(
            &[("pom.xml", ""), ("build.gradle", ""), ("gradlew", ""), ("Procfile", "web: java -jar target/x.jar")],
            "",
        );
        assert!(used.starts_with("Maven"));
    }

    #[test]
    fn main_classes() {
        let main = |path: &str, text: &str| main_class(&SourceTree::in_memory([(path, text)]));
        assert_eq!(
            main("src/main/java/a/B.java", "package a;\nclass B {\n  public static void main(").as_deref(),
            Some("a.B")
        );
        assert_eq!(main("src/main/kotlin/App.kt", "package a.b\n\nfun main() {").as_deref(), Some("a.b.AppKt"));
        assert_eq!(main("src/test/java/T.java", "  public static void main("), None);
        assert_eq!(main("a/B C.java", "  public static void main("), None);
    }
}
