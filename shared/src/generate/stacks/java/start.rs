//! How another platform's file starts a Java app, and what that tells about the build.
//!
//! Build tools name the jar after a version, so a line that names a jar of theirs is given the one that the image has.

use crate::{domain::RelPath, generate::hints::Hint};

/// Where the image has the jar.
pub const JAR: &str = "/app/app.jar";
/// Commands of build tools that start the app for its developer.
const DEVELOPMENT: &[&str] =
    &["spring-boot:run", "bootRun", "quarkus:dev", "quarkusDev", "mn:run", "exec:java", "jetty:run", "gradlew run"];

/// A line that starts the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    pub line: String,
    pub from: String,
    /// The module whose jar it names.
    pub module: Option<RelPath>,
    /// Whether the line names files of the build's own directories, which then must be there.
    pub keeps: bool,
}

pub fn hinted(hints: &[Hint]) -> Option<Start> {
    hints.iter().find_map(read)
}

fn read(hint: &Hint) -> Option<Start> {
    let starts_java = hint.text.split_whitespace().any(|word| word == "java" || word.ends_with("/bin/java"));
    let script = hint.text.contains("build/install/")
        || hint.text.contains("target/bin/")
        || hint.text.contains("appassembler/bin/");
    if !(starts_java || script) || DEVELOPMENT.iter().any(|command| hint.text.contains(command)) {
        return None;
    }
    let start = |line: String, module, keeps| Start { line, from: hint.from.clone(), module, keeps };
    let jar = hint.text.split_whitespace().skip_while(|word| *word != "-jar").nth(1).filter(|_| starts_java);
    match jar.and_then(module_of) {
        Some(module) => {
            let line: Vec<&str> =
                hint.text.split_whitespace().map(|word| if Some(word) == jar { JAR } else { word }).collect();
            Some(start(line.join(" "), module, false))
        }
        None => {
            let keeps = ["target/", "build/"].iter().any(|directory| hint.text.contains(directory));
            keeps.then(|| start(hint.text.clone(), None, true))
        }
    }
}

/// Of `web/target/x.jar` the module `web`; nothing for a file that is not the app's own jar.
fn module_of(jar: &str) -> Option<Option<RelPath>> {
    let jar = jar.trim_matches(['"', '\'']).trim_start_matches("./");
    let program = jar.ends_with(".jar") || jar.ends_with(".war");
    ["target/", "build/libs/"].iter().find_map(|directory| {
        let (module, file) = jar.split_once(directory)?;
        let plain = program && !file.contains('/') && (module.is_empty() || module.ends_with('/'));
        plain.then(|| module.trim_end_matches('/').parse().ok().filter(|path: &RelPath| !path.is_root()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        match hinted(&[Hint::new(line, "Procfile:1")]) {
            Some(start) => format!("{} | {} | {}", start.line, start.module.unwrap_or_else(RelPath::root), start.keeps),
            None => "-".into(),
        }
    }

    #[test]
    fn lines() {
        assert_eq!(
            shown("java -Xmx300m -jar target/x-1.0.jar --server.port=$PORT"),
            "java -Xmx300m -jar /app/app.jar --server.port=$PORT |  | false"
        );
        assert_eq!(shown("java -jar ./web/build/libs/*.jar"), "java -jar /app/app.jar | web | false");
        assert_eq!(
            shown("java -cp target/classes:target/dependency/* a.Main"),
            "java -cp target/classes:target/dependency/* a.Main |  | true"
        );
        assert_eq!(
            shown("java -jar target/dependency/webapp-runner.jar target/*.war"),
            "java -jar target/dependency/webapp-runner.jar target/*.war |  | true"
        );
        assert_eq!(shown("build/install/shop/bin/shop"), "build/install/shop/bin/shop |  | true");
        for none in ["./mvnw spring-boot:run", "java -jar somewhere.jar", "npm start", ""] {
            assert_eq!(shown(none), "-", "{none}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_read(line in "\\PC{0,40}|(java|-jar| |target/|/|x.jar|build/libs/|'){0,12}") { shown(&line); }
    }
}
