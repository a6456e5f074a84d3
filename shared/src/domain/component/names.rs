//! Names and places of components.

use crate::domain::{
    ImageDigest, ImageRepository, Malformed,
    input::{keep, text_type},
};

text_type!(
    /// The name of a component, and of a volume: a host name of one label.
    ComponentName,
    "component name",
    component_name
);

impl ComponentName {
    pub fn web() -> Self {
        Self("web".to_owned())
    }
}

fn component_name(text: &str) -> Result<String, &'static str> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ok = (1..=30).contains(&text.len())
        && text.chars().all(plain)
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-');
    keep(text, ok, "1 to 30 lower-case letters, digits and inner hyphens, beginning with a letter")
}

text_type!(
    /// The directory of a container where a volume is seen.
    MountPath,
    "mount path",
    mount_path
);

fn mount_path(text: &str) -> Result<String, &'static str> {
    const OURS: &[&str] = &["/proc", "/sys", "/dev", "/etc", "/run"];
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let inside = |root: &&str| text.strip_prefix(*root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let ok = (2..=200).contains(&text.len())
        && text.starts_with('/')
        && text.chars().all(plain)
        && !text.ends_with('/')
        && !text[1..].split('/').any(|part| part.is_empty() || part == "." || part == "..")
        && !OURS.iter().any(inside);
    keep(text, ok, "an absolute directory of letters, digits and /._-, not /, /etc, /proc, /sys, /dev or /run")
}

text_type!(
    /// The beginning of the paths that lead to a component: `/api` is `/api` and all below it.
    RoutePath,
    "path",
    route_path
);

fn route_path(text: &str) -> Result<String, &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._~-".contains(c);
    let ok = (2..=200).contains(&text.len())
        && text.starts_with('/')
        && text.chars().all(plain)
        && !text.ends_with('/')
        && !text[1..].split('/').any(|part| part.is_empty() || part == "." || part == "..");
    keep(text, ok, "a path such as /api: letters, digits and ._~- between slashes, none at its end")
}

text_type!(
    /// The version of a managed service: the tag of its image.
    ServiceVersion,
    "version",
    service_version
);

fn service_version(text: &str) -> Result<String, &'static str> {
    let ok = (1..=20).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_digit() || c == '.')
        && text.split('.').all(|part| !part.is_empty());
    keep(text, ok, "numbers with points between them, such as 17 or 8.4")
}

/// An image of any registry, which its digest pins: `host/path@sha256:…`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicImage {
    pub repository: ImageRepository,
    pub digest: ImageDigest,
}

impl std::str::FromStr for PublicImage {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        const WRONG: Malformed =
            Malformed { what: "image", grammar: "host/path@sha256: and 64 hexadecimal digits; a tag is not enough" };
        let (repository, digest) = text.split_once('@').ok_or(WRONG)?;
        Ok(Self { repository: repository.parse().map_err(|_| WRONG)?, digest: digest.parse().map_err(|_| WRONG)? })
    }
}

impl TryFrom<String> for PublicImage {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<PublicImage> for String {
    fn from(image: PublicImage) -> String {
        image.to_string()
    }
}

impl std::fmt::Display for PublicImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.repository, self.digest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_refused() {
        for bad in ["", "Web", "1web", "web-", "-web", "a.b", &"a".repeat(31), "we`b", "a b"] {
            assert!(bad.parse::<ComponentName>().is_err(), "{bad}");
        }
        for bad in
            ["", "/", "data", "/data/", "/a//b", "/a/../b", "/etc", "/etc/x", "/proc/1", "/da ta", "/a:b", "/a,b"]
        {
            assert!(bad.parse::<MountPath>().is_err(), "{bad}");
        }
        assert!("/etcetera".parse::<MountPath>().is_ok() && "/var/lib/app".parse::<MountPath>().is_ok());
        for bad in ["/", "api", "/api/", "/a`b", "/{{.}}", "/a b", "/a)", "/./a"] {
            assert!(bad.parse::<RoutePath>().is_err(), "{bad}");
        }
        for bad in ["", "latest", "17.", ".1", "17-alpine", "1..2"] {
            assert!(bad.parse::<ServiceVersion>().is_err(), "{bad}");
        }
        let digest = format!("sha256:{}", "0a".repeat(32));
        let image: PublicImage = format!("ghcr.io/org/app@{digest}").parse().expect("an image");
        assert_eq!(image.to_string(), format!("ghcr.io/org/app@{digest}"));
        for bad in ["ghcr.io/org/app:1", "ghcr.io/org/app", &digest, &format!("@{digest}")] {
            assert!(bad.parse::<PublicImage>().is_err(), "{bad}");
        }
    }

    proptest! {
        /// Nothing that ends a rule, a template action, a shell word or a mount option is in a valid text.
        #[test]
        fn no_dangerous_text_is_valid(text in "[ -~\n\u{e9}]{0,12}") {
            let dangerous = |text: &str| text.contains(['`', '"', '\'', '{', '}', '$', '\\', '\n', ' ', ':', ',', '(', ')']);
            for valid in [text.parse::<RoutePath>().is_ok(), text.parse::<MountPath>().is_ok(), text.parse::<ComponentName>().is_ok()] {
                prop_assert!(!valid || !dangerous(&text), "{text:?}");
            }
        }
    }
}
