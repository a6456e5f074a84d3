//! Names and paths that a client chooses, and names of images.

use super::{keep, net::is_host_name, text_type};

text_type!(
    /// A short name for an app, a customer or a project.
    Slug,
    "name",
    slug
);

fn slug(text: &str) -> Result<String, &'static str> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ok =
        (1..=40).contains(&text.len()) && text.chars().all(plain) && !text.starts_with('-') && !text.ends_with('-');
    keep(text, ok, "1 to 40 lower-case letters, digits and inner hyphens")
}

text_type!(
    /// The login name on a server.
    LoginName,
    "login name",
    login_name
);

fn login_name(text: &str) -> Result<String, &'static str> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    let ok = (1..=32).contains(&text.len())
        && text.chars().all(plain)
        && !text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    keep(text, ok, "1 to 32 lower-case letters, digits, underscores and hyphens, beginning with a letter or underscore")
}

text_type!(
    /// The name of an environment variable of an app.
    EnvName,
    "variable name",
    env_name
);

fn env_name(text: &str) -> Result<String, &'static str> {
    let ok = (1..=128).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !text.starts_with(|c: char| c.is_ascii_digit());
    keep(text, ok, "1 to 128 letters, digits and underscores, not beginning with a digit")
}

text_type!(
    /// A path inside a source tree: relative, without `..`; the empty path is the tree's root.
    RelPath,
    "path",
    rel_path
);

impl Default for RelPath {
    fn default() -> Self {
        Self::root()
    }
}

impl RelPath {
    /// The root of the tree.
    pub fn root() -> Self {
        Self(String::new())
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The path of `name` below this one.
    pub fn join(&self, name: &RelPath) -> RelPath {
        match (self.is_root(), name.is_root()) {
            (true, _) => name.clone(),
            (_, true) => self.clone(),
            _ => Self(format!("{}/{}", self.0, name.0)),
        }
    }

    /// The directory that holds this path; the root holds itself.
    pub fn parent(&self) -> RelPath {
        Self(self.0.rsplit_once('/').map(|(directory, _)| directory.to_owned()).unwrap_or_default())
    }
}

fn rel_path(text: &str) -> Result<String, &'static str> {
    const ALLOWED: &str = "a relative path of letters, digits and ._+@-/ without `..`, up to 500 characters";
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+@-/".contains(c);
    let bad = |p: &&str| *p == ".." || p.starts_with('-') || p.eq_ignore_ascii_case(".git");
    if text.len() > 500 || text.starts_with('/') || !text.chars().all(plain) || text.split('/').any(|p| bad(&p)) {
        return Err(ALLOWED);
    }
    Ok(text.split('/').filter(|part| !part.is_empty() && *part != ".").collect::<Vec<_>>().join("/"))
}

text_type!(
    /// The content address of an image.
    ImageDigest,
    "image digest",
    digest
);

fn digest(text: &str) -> Result<String, &'static str> {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    let ok = hex.len() == 64 && hex.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
    keep(text, ok, "sha256: and 64 lower-case hexadecimal digits")
}

text_type!(
    /// A repository of a registry, with the registry: `host[:port]/path`.
    ImageRepository,
    "image repository",
    repository
);

fn repository(text: &str) -> Result<String, &'static str> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let part = |p: &str| p.starts_with(edge) && p.ends_with(edge) && p.chars().all(plain) && !p.contains("..");
    let (host, path) = text.split_once('/').unwrap_or((text, ""));
    let ok = text.len() <= 255 && is_registry(host) && path.split('/').all(part);
    keep(text, ok, "registry-host[:port]/path in lower case, up to 255 characters")
}

fn is_registry(text: &str) -> bool {
    let (name, port) = text.split_once(':').unwrap_or((text, "443"));
    let address = name.parse::<std::net::Ipv4Addr>().is_ok();
    (address || is_host_name(name)) && port.parse::<super::Port>().is_ok()
}

text_type!(
    /// An e-mail address; its domain is in lower case.
    EmailAddress,
    "e-mail address",
    email
);

fn email(text: &str) -> Result<String, &'static str> {
    const ALLOWED: &str = "name@domain with letters, digits and ._+- in the name (up to 64) and a full domain";
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    let (name, domain) = text.split_once('@').ok_or(ALLOWED)?;
    let domain = domain.to_ascii_lowercase();
    let name_ok = (1..=64).contains(&name.len()) && name.chars().all(plain) && !name.starts_with(['.', '-']);
    let ok = name_ok && !name.ends_with('.') && domain.contains('.') && is_host_name(&domain);
    keep(&format!("{name}@{domain}"), ok, ALLOWED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs() {
        for good in ["a", "shop-1", "0a"] {
            assert!(good.parse::<Slug>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a;b", "a\nb"] {
            assert!(bad.parse::<Slug>().is_err(), "{bad}");
        }
        assert!("a".repeat(41).parse::<Slug>().is_err());
    }

    #[test]
    fn env_names() {
        for good in ["PORT", "_x", "a1"] {
            assert!(good.parse::<EnvName>().is_ok(), "{good}");
        }
        for bad in ["", "1a", "A;id", "A=$(id)", "A\nB", "A-B"] {
            assert!(bad.parse::<EnvName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_are_normalised() {
        for (raw, text) in
            [("", ""), (".", ""), ("./a//b/", "a/b"), ("apps/web-1", "apps/web-1"), ("@org/x.y", "@org/x.y")]
        {
            assert_eq!(raw.parse::<RelPath>().map(String::from).as_deref(), Ok(text));
        }
        for bad in ["/a", "..", "a/../b", "-a", "a/-b", "a b", "a\\b", "a\nb", ".git/config", "a:b", "C:", "$x"] {
            assert!(bad.parse::<RelPath>().is_err(), "{bad}");
        }
    }

    #[test]
    fn path_algebra() {
        let path = |text: &str| text.parse::<RelPath>().expect("valid");
        assert_eq!(RelPath::root().join(&path("a")), path("a"));
        assert_eq!(path("a").join(&path("b/c")), path("a/b/c"));
        assert_eq!(path("a/b").parent(), path("a"));
        assert_eq!(path("a").parent(), RelPath::root());
    }

    #[test]
    fn images() {
        assert!(format!("sha256:{}", "a".repeat(64)).parse::<ImageDigest>().is_ok());
        assert!(format!("sha256:{}", "A".repeat(64)).parse::<ImageDigest>().is_err());
        for good in ["127.0.0.1:5000/a/b", "registry.example.com/x/y", "localhost:5000/a"] {
            assert!(good.parse::<ImageRepository>().is_ok(), "{good}");
        }
        for bad in ["a", "host/", "host/A", "host/a:tag", "host/a@sha256:1", "host:0/a", "-h/a", "host/-a", "host/a b"]
        {
            assert!(bad.parse::<ImageRepository>().is_err(), "{bad}");
        }
    }

    #[test]
    fn emails() {
        assert_eq!("Ops+x@Example.COM".parse::<EmailAddress>().map(String::from).as_deref(), Ok("Ops+x@example.com"));
        for bad in
            ["", "a", "a@b", "@example.com", "a b@example.com", "a@example.com\n", "-a@example.com", ".a@example.com"]
        {
            assert!(bad.parse::<EmailAddress>().is_err(), "{bad}");
        }
    }
}
