//! What one build makes images of: the app's own source, and the parts of the repository that components name.
//!
//! Invariant: the parts of a build are distinct, in one order (the app's own first), and never none. Absent: what the
//! app's own source is; that stands with the app and is read when the build runs.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{BuildSource, ImageSource, Topology};
use crate::domain::Malformed;

const APP: &str = "app";

/// One image of a build.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildPart {
    /// The app's own image.
    App,
    /// The image of a part of the repository.
    Source(BuildSource),
}

impl BuildPart {
    /// What an image comes from; none for somebody else's image.
    pub fn of(source: &ImageSource) -> Option<Self> {
        match source {
            ImageSource::App => Some(Self::App),
            ImageSource::Build(source) => Some(Self::Source(source.clone())),
            ImageSource::Public(_) => None,
        }
    }

    /// What a build of an app with these components makes. Of an app whose components need no build it is the app's own
    /// image, so that a build which is asked for all the same has one.
    pub fn all(topology: &Topology) -> Vec<Self> {
        let own = topology.iter().filter(|component| !component.kind.is_managed());
        let mut parts: Vec<Self> = own.filter_map(|component| Self::of(&component.image)).collect();
        parts.sort();
        parts.dedup();
        if parts.is_empty() { Self::only_app() } else { parts }
    }

    /// The one part of a build that makes the app's own image and nothing else.
    pub fn only_app() -> Vec<Self> {
        vec![Self::App]
    }

    /// The part in words for the client, such as `web (Dockerfile.worker)`.
    pub fn words(&self) -> String {
        let Self::Source(source) = self else { return "the app's own source".to_owned() };
        let directory = match source.base_directory.is_root() {
            true => "the repository's root",
            false => source.base_directory.as_str(),
        };
        match &source.dockerfile_path {
            Some(path) => format!("{directory} ({path})"),
            None => directory.to_owned(),
        }
    }
}

/// The canonical text: `app`, or the source as JSON. Two parts are the same exactly when their texts are.
impl fmt::Display for BuildPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App => f.write_str(APP),
            Self::Source(source) => f.write_str(&serde_json::to_string(source).map_err(|_| fmt::Error)?),
        }
    }
}

impl FromStr for BuildPart {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text == APP {
            return Ok(Self::App);
        }
        let malformed = |_| Malformed { what: "build part", grammar: "`app`, or a source as JSON" };
        serde_json::from_str(text).map(Self::Source).map_err(malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::component::{Component, ComponentKind};

    fn source(directory: &str, dockerfile: Option<&str>) -> BuildSource {
        BuildSource {
            base_directory: directory.parse().expect("a path"),
            dockerfile_path: dockerfile.map(|path| path.parse().expect("a path")),
        }
    }

    fn component(name: &str, kind: ComponentKind, image: ImageSource) -> Component {
        let schedule = (kind == ComponentKind::Cron).then(|| "0 3 * * *".parse().expect("a schedule"));
        let command = if kind.is_lasting() { Vec::new() } else { vec!["run".to_owned()] };
        let name = name.parse().expect("a name");
        Component { image, schedule, command, ..Component::bare(name, kind) }
    }

    fn parts(components: Vec<Component>) -> Vec<BuildPart> {
        BuildPart::all(&Topology::new(components).expect("they fit"))
    }

    #[test]
    fn each_source_is_a_part_once_and_the_app_only_when_it_is_needed() {
        use ComponentKind::{Cron, Postgres, Web, Worker};
        let build = |directory, dockerfile| ImageSource::Build(source(directory, dockerfile));
        let part = |directory, dockerfile| BuildPart::Source(source(directory, dockerfile));
        assert_eq!(parts(Vec::new()), [BuildPart::App]);
        assert_eq!(parts(vec![component("db", Postgres, ImageSource::App)]), [BuildPart::App]);
        let two = vec![
            component("web", Web, build("web", None)),
            component("mail", Worker, build("jobs", Some("Dockerfile.mail"))),
            component("night", Cron, build("web/.", None)),
            component("db", Postgres, ImageSource::App),
        ];
        assert_eq!(parts(two.clone()), [part("jobs", Some("Dockerfile.mail")), part("web", None)]);
        let three = [two, vec![component("own", Worker, ImageSource::App)]].concat();
        assert_eq!(parts(three)[0], BuildPart::App);
        let public = format!("docker.io/library/nginx@sha256:{}", "a".repeat(64)).parse().expect("an image");
        let foreign = Component { port: "80".parse().ok(), ..component("web", Web, ImageSource::Public(public)) };
        assert_eq!(parts(vec![foreign]), [BuildPart::App]);
    }

    #[test]
    fn a_part_is_its_text() {
        for (part, text, words) in [
            (BuildPart::App, "app", "the app's own source"),
            (BuildPart::Source(source("web", None)), r#"{"base_directory":"web"}"#, "web"),
            (
                BuildPart::Source(source("", Some("ops/Dockerfile"))),
                r#"{"base_directory":"","dockerfile_path":"ops/Dockerfile"}"#,
                "the repository's root (ops/Dockerfile)",
            ),
        ] {
            assert_eq!((part.to_string().as_str(), part.words().as_str()), (text, words));
            assert_eq!(text.parse(), Ok(part));
        }
        assert!("web".parse::<BuildPart>().is_err() && r#"{"base_directory":".."}"#.parse::<BuildPart>().is_err());
    }
}
