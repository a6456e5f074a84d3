//! `pubspec.yaml` and `pubspec.lock`: the package, its libraries and the versions that it asks for.

use serde_yaml_ng::Value;

use crate::generate::{
    look::{Look, yaml},
    source::SourceTree,
    stacks::pattern::Pattern,
    versions::{self, Choice, Conflict, DART, Demand, Demands, FLUTTER, Language, Series},
};

static EXACT: Pattern = Pattern::new(r"^v?([0-9]{1,2}\.[0-9]{1,2}\.[0-9]{1,2})$");
static IN_DOCKERFILE: Pattern =
    Pattern::new(r#"(?m)^\s*(?:ARG|ENV)\s+FLUTTER_VERSION[= ]"?([0-9]{1,2}\.[0-9]{1,2}\.[0-9]{1,2})"?\s*$"#);
static LOWEST: Pattern = Pattern::new(r"^\^?(?:>=)? ?([0-9]{1,2}\.[0-9]{1,2})");

/// The last release of each series, since Flutter's images are named after releases alone, and the Dart inside.
const RELEASES: &[(&str, &str, (u32, u32))] = &[
    ("3.38", "3.38.5", (3, 10)),
    ("3.35", "3.35.7", (3, 9)),
    ("3.32", "3.32.8", (3, 8)),
    ("3.29", "3.29.3", (3, 7)),
    ("3.27", "3.27.4", (3, 6)),
    ("3.24", "3.24.5", (3, 5)),
    ("3.22", "3.22.3", (3, 4)),
    ("3.19", "3.19.6", (3, 3)),
    ("3.16", "3.16.9", (3, 2)),
    ("3.13", "3.13.9", (3, 1)),
    ("3.10", "3.10.6", (3, 0)),
];

/// A package of Dart.
#[derive(Clone, Debug)]
pub struct Pubspec {
    yaml: Value,
    lock: Option<Value>,
}

impl Pubspec {
    pub fn read(tree: &SourceTree) -> Option<Self> {
        let yaml = yaml(tree, "pubspec.yaml").filter(Value::is_mapping)?;
        Some(Self { yaml, lock: crate::generate::look::yaml(tree, "pubspec.lock") })
    }

    pub fn name(&self) -> &str {
        self.yaml.get("name").and_then(Value::as_str).unwrap_or_default()
    }

    pub fn needs(&self, package: &str) -> bool {
        self.in_list("dependencies", package).is_some()
    }

    pub fn builds_with(&self, package: &str) -> bool {
        self.in_list("dev_dependencies", package).is_some()
    }

    fn in_list(&self, list: &str, package: &str) -> Option<&Value> {
        self.yaml.get(list)?.get(package)
    }

    /// Whether it is an app of Flutter and not of Dart alone.
    pub fn is_flutter(&self) -> bool {
        let sdk = self.in_list("dependencies", "flutter").and_then(|flutter| flutter.get("sdk")?.as_str());
        sdk == Some("flutter")
    }

    /// Whether a library is a directory of the repository.
    pub fn has_local(&self) -> bool {
        let lists = ["dependencies", "dev_dependencies", "dependency_overrides"]
            .iter()
            .filter_map(|list| self.yaml.get(*list)?.as_mapping());
        lists.flat_map(|list| list.values()).any(|value| value.get("path").is_some())
            || self.yaml.get("workspace").is_some()
    }

    pub fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    fn asks(&self, sdk: &str) -> Option<&str> {
        self.yaml.get("environment")?.get(sdk)?.as_str()
    }
}

/// Dart 3 runs what was written for a null-safe Dart 2, whose upper bound nobody moved.
fn range(text: &str, series: &Series) -> Option<bool> {
    let text = text.trim().trim_end_matches("<3.0.0").trim();
    if text.is_empty() || text == "any" {
        return Some(true);
    }
    versions::npm(text, series)
}

/// Whether the Dart of a series of Flutter is not older than the lowest one that is asked for.
fn dart_inside(text: &str, series: &Series) -> Option<bool> {
    let mut lowest = LOWEST.first(text.trim())?.split('.').map(str::parse::<u32>);
    let lowest = (lowest.next()?.ok()?, lowest.next()?.ok()?);
    RELEASES.iter().find(|(name, ..)| *name == series.name).map(|(.., dart)| *dart >= lowest)
}

fn hinted(look: &Look<'_>, language: &'static Language, names: &[&str]) -> Demands {
    let mut demands = Demands::default();
    for hint in look.hints.versions_of(names) {
        let list = if hint.binding { &mut demands.own } else { &mut demands.elsewhere };
        list.extend(Demand::read(language, range, hint.text.trim_start_matches('v'), &hint.from));
    }
    demands
}

/// The release of Flutter that an app names, and where.
fn named(look: &Look<'_>, pubspec: &Pubspec) -> Option<(String, String)> {
    let mut hints = look.hints.versions_of(&["flutter"]).filter(|hint| hint.binding);
    let pinned = hints.find_map(|hint| Some((EXACT.first(&hint.text)?.to_owned(), hint.from.clone())));
    let own =
        || Some((EXACT.first(pubspec.asks("flutter")?)?.to_owned(), "pubspec.yaml (environment.flutter)".to_owned()));
    let docker = || Some((IN_DOCKERFILE.first(&look.here.text("Dockerfile")?)?.to_owned(), "Dockerfile".to_owned()));
    pinned.or_else(own).or_else(docker)
}

/// The release of Flutter and what is told about it.
pub struct Flutter {
    pub release: String,
    /// Whether a file of the app names that release, so that its lock file was made with it.
    pub pinned: bool,
    pub reason: String,
    pub warnings: Vec<String>,
}

pub fn flutter(look: &Look<'_>, pubspec: &Pubspec) -> Result<Flutter, Conflict> {
    if let Some((release, from)) = named(look, pubspec) {
        let reason = format!("flutter {release}: {from}");
        return Ok(Flutter { release, pinned: from != "Dockerfile", reason, warnings: Vec::new() });
    }
    let mut demands = hinted(look, &FLUTTER, &["flutter"]);
    let own = pubspec
        .asks("flutter")
        .and_then(|text| Demand::read(&FLUTTER, range, text, "pubspec.yaml (environment.flutter)"));
    let dart = pubspec
        .asks("sdk")
        .and_then(|text| Demand::read(&FLUTTER, dart_inside, text, "pubspec.yaml (environment.sdk)"));
    demands.own.extend(own.into_iter().chain(dart));
    let locked = pubspec.lock.as_ref().and_then(|lock| lock.get("sdks")?.get("flutter")?.as_str());
    demands.locked.extend(locked.and_then(|text| Demand::read(&FLUTTER, range, text, "pubspec.lock")));
    let Choice { series, reason, warnings } = versions::choose(&FLUTTER, &demands)?;
    let release =
        RELEASES.iter().find(|(name, ..)| *name == series.name).map_or(series.name, |(_, release, _)| release);
    Ok(Flutter { release: release.to_owned(), pinned: false, reason, warnings })
}

pub fn dart(look: &Look<'_>, pubspec: &Pubspec) -> Result<Choice, Conflict> {
    let mut demands = hinted(look, &DART, &["dart"]);
    demands.own.extend(
        pubspec.asks("sdk").and_then(|text| Demand::read(&DART, range, text, "pubspec.yaml (environment.sdk)")),
    );
    versions::choose(&DART, &demands)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::RelPath, generate::recipe::Wishes};

    fn chosen(files: &[(&str, &str)]) -> String {
        let tree = SourceTree::in_memory(files.iter().copied());
        let wishes = Wishes::default();
        let look = Look::new(&tree, &RelPath::root(), &wishes);
        let pubspec = Pubspec::read(&tree).expect("pubspec");
        let flutter = flutter(&look, &pubspec).map_or_else(|c| c.demands.join(" | "), |flutter| flutter.release);
        let dart = dart(&look, &pubspec).map_or_else(|c| c.demands.join(" | "), |choice| choice.series.name.into());
        format!("{flutter} {dart}")
    }

    #[test]
    fn versions_of_flutter_and_dart() {
        let sdk = |range: &str| format!("environment:\n  sdk: '{range}'\n");
        let pubspec = |text: &str, more: &[(&str, &str)]| chosen(&[&[("pubspec.yaml", text)], more].concat());
        assert_eq!(pubspec("name: x", &[]), "3.38.5 3.10");
        assert_eq!(pubspec(&sdk("^3.5.0"), &[]), "3.38.5 3.10");
        assert_eq!(pubspec(&sdk(">=2.12.0 <3.0.0"), &[]), "3.38.5 3.10");
        assert_eq!(pubspec(&sdk(">=3.0.0 <4.0.0"), &[(".fvmrc", r#"{"flutter": "3.24.3"}"#)]), "3.24.3 3.10");
        assert_eq!(
            pubspec(&sdk(">=2.12.0 <3.0.0"), &[("Dockerfile", "FROM x\nARG FLUTTER_VERSION=3.10.5\n")]),
            "3.10.5 3.10"
        );
        assert_eq!(pubspec("environment:\n  flutter: '>=3.22.0 <3.30.0'\n", &[]), "3.29.3 3.10");
        assert_eq!(pubspec("name: x", &[(".fvmrc", r#"{"flutter": "stable; id"}"#)]), "3.38.5 3.10");
    }

    #[test]
    fn every_series_has_a_release() {
        assert!(FLUTTER.series.iter().all(|series| RELEASES.iter().any(|(name, ..)| *name == series.name)));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,20}|[0-9.<>=^ ]{0,30}") {
            FLUTTER.series.iter().for_each(|series| {
                let _ = (range(&text, series), dart_inside(&text, series));
            });
        }
    }
}
