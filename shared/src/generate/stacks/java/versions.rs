//! Which Java an app gets: what pins one, else what its sources are compiled for.
//!
//! A pin (`system.properties`, `.java-version`, a Gradle toolchain) asks for that version; a target alone is taken as one
//! too, since that is what the app was tried with, and beside a pin it is only a lower bound.

use crate::generate::{
    error::GenerateError,
    look::Look,
    versions::{self, Choice, Demand, Demands, JAVA, Series},
};

/// What the build files say.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The version that sources are compiled for, and where that stands.
    pub target: Option<(String, &'static str)>,
    /// Whether the build looks for exactly that JDK.
    pub exact: bool,
    /// The version of Gradle, each of which knows Java only up to some version.
    pub gradle: Option<String>,
}

/// The feature version: 8 of `1.8.0_402`, 17 of `17.0.9` and of `openjdk-17`.
fn feature(text: &str) -> Option<u32> {
    let digits = text.trim().trim_start_matches(|c: char| !c.is_ascii_digit());
    let mut numbers = digits.split(|c: char| !c.is_ascii_digit());
    let first: u32 = numbers.next()?.parse().ok()?;
    if first == 1 { numbers.next()?.parse().ok() } else { Some(first) }
}

/// The oldest series of the table that runs it, so that 18 to 21 mean 21.
fn same(text: &str, series: &Series) -> Option<bool> {
    let asked = feature(text)?;
    let enough = JAVA.series.iter().map(|series| series.bounds.0.0).filter(|number| *number >= asked);
    Some(enough.min() == Some(series.bounds.0.0))
}

fn at_least(text: &str, series: &Series) -> Option<bool> {
    Some(series.bounds.0.0 >= feature(text)?)
}

/// Gradle's table of the newest Java that each of its versions runs on.
fn gradle_runs_on(text: &str, series: &Series) -> Option<bool> {
    let mut numbers = text.split('.').map(|part| part.parse::<u32>().ok());
    let version = (numbers.next()??, numbers.next().flatten().unwrap_or(0));
    let newest = match version {
        (0..=4, _) => 8,
        (5 | 6, _) => 11,
        (7, 0..=2) => 11,
        (7, _) | (8, 0..=4) => 17,
        (8, _) | (9, 0) => 21,
        _ => u32::MAX,
    };
    Some(series.bounds.0.0 <= newest)
}

pub fn choose(look: &Look<'_>, told: &Told) -> Result<Choice, GenerateError> {
    let mut demands = Demands::default();
    for hint in look.hints.versions_of(&["java"]) {
        let list = if hint.binding { &mut demands.own } else { &mut demands.elsewhere };
        list.extend(Demand::read(&JAVA, same, &hint.text, &hint.from));
    }
    if let Some((text, from)) = &told.target {
        let reader = if demands.own.is_empty() || told.exact { same } else { at_least };
        demands.own.extend(Demand::read(&JAVA, reader, text, *from));
    }
    let gradle = told.gradle.as_deref();
    let gradle = gradle.and_then(|text| Demand::read(&JAVA, gradle_runs_on, text, "the Gradle wrapper's version"));
    demands.locked.extend(gradle);
    Ok(versions::choose(&JAVA, &demands)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::RelPath,
        generate::{recipe::Wishes, source::SourceTree},
    };

    fn chosen(files: &[(&str, &str)], target: Option<&str>, exact: bool, gradle: Option<&str>) -> String {
        let tree = SourceTree::in_memory(files.iter().copied());
        let wishes = Wishes::default();
        let look = Look::new(&tree, &RelPath::root(), &wishes);
        let target = target.map(|text| (text.to_owned(), "pom.xml"));
        let told = Told { target, exact, gradle: gradle.map(str::to_owned) };
        choose(&look, &told).map_or_else(|error| error.to_string(), |choice| choice.series.name.to_owned())
    }

    #[test]
    fn pins_and_targets() {
        let properties = [("system.properties", "java.runtime.version = 17")];
        assert_eq!(chosen(&[], None, false, None), "21");
        assert_eq!(chosen(&[], Some("17"), false, None), "17");
        assert_eq!(chosen(&[], Some("1.8"), false, None), "8");
        assert_eq!(chosen(&[], Some("19"), false, None), "21");
        assert_eq!(chosen(&properties, Some("11"), false, None), "17");
        assert!(chosen(&properties, Some("21"), false, None).contains("no java version meets"));
        assert!(chosen(&properties, Some("21"), true, None).contains("no java version meets"));
        assert_eq!(chosen(&[(".sdkmanrc", "java=25-tem")], None, false, None), "25");
        assert_eq!(chosen(&[("x", "")], None, false, Some("7.6")), "17");
        assert_eq!(chosen(&[("x", "")], Some("no number"), false, Some("x")), "21");
    }

    #[test]
    fn texts() {
        assert_eq!(["1.8.0_402", "17.0.9", "openjdk-21", "temurin"].map(feature), [Some(8), Some(17), Some(21), None]);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,20}|[0-9.]{0,30}") {
            JAVA.series.iter().for_each(|series| {
                let _ = (same(&text, series), at_least(&text, series), gradle_runs_on(&text, series));
            });
        }
    }
}
