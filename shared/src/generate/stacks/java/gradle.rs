//! Gradle's build files, read as text, in Groovy and in Kotlin.
//!
//! Invariant: any text gives an answer in linear time. Absent: running them, so what a plugin of the repository itself
//! applies is not seen.

use crate::{
    domain::RelPath,
    generate::{source::SourceTree, stacks::pattern::Pattern},
};

const FILES: &[&str] = &["build.gradle", "build.gradle.kts"];
const SETTINGS: &[&str] = &["settings.gradle", "settings.gradle.kts"];
const MAX_MODULES: usize = 200;

static MAIN: Pattern =
    Pattern::new(r#"(?:mainClass|mainClassName)(?:\.set\(|\s*=\s*|\s+)["']([A-Za-z0-9_.$]{1,200})["']"#);
static JAVA: [Pattern; 3] = [
    Pattern::new(r"JavaLanguageVersion\.of\(\s*([0-9]{1,2})\s*\)"),
    Pattern::new(r"jvmToolchain\(\s*([0-9]{1,2})\s*\)"),
    Pattern::new(r"(?:sourceCompatibility|targetCompatibility|jvmTarget)[^\n0-9]{0,40}((?:1\.)?[0-9]{1,2})"),
];
static NAME: Pattern = Pattern::new(r#"["']:?([A-Za-z0-9_.:/-]{1,200})["']"#);
static WRAPPER: Pattern = Pattern::new(r"distributionUrl\s*=.*gradle-([0-9]{1,3}(?:\.[0-9]{1,3}){0,2})");

/// What makes the program of a Gradle build, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plugin {
    SpringBoot,
    Quarkus,
    Ktor,
    Shadow,
    Application,
}

/// The words by which each plugin is applied.
const PLUGINS: &[(&str, Plugin)] = &[
    ("org.springframework.boot", Plugin::SpringBoot),
    ("io.quarkus", Plugin::Quarkus),
    ("io.ktor.plugin", Plugin::Ktor),
    ("libs.plugins.ktor", Plugin::Ktor),
    ("libs.plugins.spring.boot", Plugin::SpringBoot),
    ("libs.plugins.springBoot", Plugin::SpringBoot),
    ("libs.plugins.quarkus", Plugin::Quarkus),
    ("com.gradleup.shadow", Plugin::Shadow),
    ("com.github.johnrengelman.shadow", Plugin::Shadow),
    ("libs.plugins.shadow", Plugin::Shadow),
    ("io.micronaut.application", Plugin::Application),
    ("application", Plugin::Application),
];

/// The build file of one directory.
#[derive(Clone, Debug, Default)]
pub struct Build {
    text: String,
}

impl Build {
    pub fn read(tree: &SourceTree, directory: &RelPath) -> Option<Self> {
        let tree = tree.below(directory);
        FILES.iter().find_map(|name| tree.text(name)).map(|text| Self::of(&text))
    }

    /// Without comments, as far as they are lines of their own.
    pub fn of(text: &str) -> Self {
        let comment = |line: &&str| !line.trim_start().starts_with("//");
        Self { text: text.lines().filter(comment).map(|line| format!("{line}\n")).collect() }
    }

    /// The strongest plugin that is applied here, not only declared for modules.
    pub fn plugin(&self) -> Option<Plugin> {
        let applied = |word: &str| {
            self.text.lines().map(str::trim).any(|line| {
                let declared = line.contains("apply false") || line.contains("apply(false)");
                !declared && applies(line, word)
            })
        };
        PLUGINS.iter().find(|(word, _)| applied(word)).map(|(_, plugin)| *plugin)
    }

    pub fn is_android(&self) -> bool {
        self.text.contains("com.android.application") || self.text.contains("com.android.library")
    }

    /// `mainClass = "a.B"`, `mainClass.set("a.B")` and `mainClassName = 'a.B'`.
    pub fn main_class(&self) -> Option<String> {
        MAIN.first(&self.text).map(str::to_owned)
    }

    /// The version of Java that the toolchain or the target names.
    pub fn java(&self) -> Option<String> {
        JAVA.iter().find_map(|form| form.first(&self.text)).map(str::to_owned)
    }

    /// Whether a JDK of exactly that version is asked for.
    pub fn has_toolchain(&self) -> bool {
        self.text.contains("JavaLanguageVersion.of") || self.text.contains("jvmToolchain(")
    }
}

/// `id("x")`, `id 'x'`, `apply plugin: 'x'`, `alias(libs.plugins.x)`, and a core plugin by its bare name.
fn applies(line: &str, word: &str) -> bool {
    let quoted = ['"', '\''].iter().any(|quote| line.contains(&format!("{quote}{word}{quote}")));
    let by_id =
        quoted && (line.starts_with("id") || line.contains("apply") || line.contains("id(") || line.contains("id "));
    by_id || line == word || line == format!("`{word}`") || line.contains(&format!("({word})"))
}

/// The directories of the modules that the settings include.
pub fn modules(tree: &SourceTree) -> Vec<RelPath> {
    let text = SETTINGS.iter().find_map(|name| tree.text(name)).unwrap_or_default();
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        let begins = line.starts_with("include") && !line.starts_with("includeBuild");
        if !(begins || inside) {
            continue;
        }
        found.extend(NAME.all(line).filter_map(|name| name.replace(':', "/").parse::<RelPath>().ok()));
        // A list goes on behind a comma or an open bracket.
        inside = line.ends_with(',') || line.ends_with('(');
    }
    found.truncate(MAX_MODULES);
    found
}

/// The version of Gradle that the wrapper downloads, such as `8.10.2`.
pub fn wrapper_version(tree: &SourceTree) -> Option<String> {
    let text = tree.text("gradle/wrapper/gradle-wrapper.properties")?;
    WRAPPER.first(&text).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(text: &str) -> Option<Plugin> {
        Build::of(text).plugin()
    }

    #[test]
    fn plugins() {
        assert_eq!(
            plugin("plugins {\n id 'java'\n id 'org.springframework.boot' version '3.5.7'\n}"),
            Some(Plugin::SpringBoot)
        );
        assert_eq!(plugin("plugins {\n id(\"org.springframework.boot\") version \"3.5.7\" apply false\n}"), None);
        assert_eq!(plugin("plugins {\n alias(libs.plugins.ktor)\n}"), Some(Plugin::Ktor));
        assert_eq!(plugin("plugins {\n    application\n}"), Some(Plugin::Application));
        assert_eq!(plugin("apply plugin: 'application'"), Some(Plugin::Application));
        assert_eq!(plugin("// id 'application'\nplugins { id 'java-library' }"), None);
        assert_eq!(plugin("plugins { id 'io.quarkus' }"), Some(Plugin::Quarkus));
    }

    #[test]
    fn facts() {
        let build = |text: &str| Build::of(text);
        assert_eq!(build("application { mainClass.set(\"a.MainKt\") }").main_class().as_deref(), Some("a.MainKt"));
        assert_eq!(build("mainClassName = 'a.B'").main_class().as_deref(), Some("a.B"));
        assert_eq!(build("mainClass = \"a; rm -rf /\"").main_class(), None);
        assert_eq!(build("languageVersion = JavaLanguageVersion.of(17)").java().as_deref(), Some("17"));
        assert_eq!(build("sourceCompatibility = JavaVersion.VERSION_17").java().as_deref(), Some("17"));
        assert_eq!(build("sourceCompatibility = '1.8'").java().as_deref(), Some("1.8"));
        assert_eq!(build("kotlin { jvmToolchain(21) }").java().as_deref(), Some("21"));
    }

    #[test]
    fn included_modules() {
        let shown = |text: &str| {
            let tree = SourceTree::in_memory([("settings.gradle", text)]);
            modules(&tree).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            shown("rootProject.name = 'x'\ninclude 'api', ':web:app'\nincludeBuild('build-logic')"),
            "api web/app"
        );
        assert_eq!(shown("include(\n  \"a\",\n  \"b\"\n)\nrootProject.name = \"x\""), "a b");
        assert_eq!(shown("include '../x'"), "");
    }

    #[test]
    fn wrappers() {
        let tree = |text: &str| SourceTree::in_memory([("gradle/wrapper/gradle-wrapper.properties", text)]);
        let url = "distributionUrl=https\\://services.gradle.org/distributions/gradle-8.10.2-bin.zip";
        assert_eq!(wrapper_version(&tree(url)).as_deref(), Some("8.10.2"));
        assert_eq!(wrapper_version(&tree("distributionUrl=x")), None);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,60}|(include|'|\"|:|,|\\(|\n|a|id |apply ){0,30}") {
            let build = Build::of(&text);
            let _ = (build.plugin(), build.main_class(), build.java());
            modules(&SourceTree::in_memory([("settings.gradle", text.as_str())]));
        }
    }
}
