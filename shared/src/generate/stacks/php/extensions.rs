//! Extensions of PHP that the official image lacks: which ones an app needs, and the step that adds them.
//!
//! Invariant: every word of the step is from the table below. Absent: extensions that are not in it, which are named in
//! a warning.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::generate::{look::json, plan::Step, source::SourceTree};

/// What the official image has without doing anything.
const BUILT_IN: &[&str] = &[
    "core",
    "ctype",
    "curl",
    "date",
    "dom",
    "fileinfo",
    "filter",
    "hash",
    "iconv",
    "json",
    "libxml",
    "mbstring",
    "mysqlnd",
    "openssl",
    "pcre",
    "pdo",
    "pdo_sqlite",
    "phar",
    "posix",
    "random",
    "readline",
    "reflection",
    "session",
    "simplexml",
    "sodium",
    "spl",
    "sqlite3",
    "standard",
    "tokenizer",
    "xml",
    "xmlreader",
    "xmlwriter",
    "zlib",
    "zend-opcache",
    "opcache",
];

/// An extension: its name, the Debian packages that it is compiled with, whether it comes from PECL.
type Extension = (&'static str, &'static [&'static str], bool);

const KNOWN: &[Extension] = &[
    ("bcmath", &[], false),
    ("bz2", &["libbz2-dev"], false),
    ("calendar", &[], false),
    ("exif", &[], false),
    ("ftp", &["libssl-dev"], false),
    ("gd", &["libfreetype-dev", "libjpeg62-turbo-dev", "libpng-dev", "libwebp-dev"], false),
    ("gettext", &[], false),
    ("gmp", &["libgmp-dev"], false),
    ("intl", &["libicu-dev"], false),
    ("ldap", &["libldap2-dev"], false),
    ("mysqli", &[], false),
    ("pcntl", &[], false),
    ("pdo_mysql", &[], false),
    ("pdo_pgsql", &["libpq-dev"], false),
    ("pgsql", &["libpq-dev"], false),
    ("soap", &["libxml2-dev"], false),
    ("sockets", &[], false),
    ("xsl", &["libxslt1-dev"], false),
    ("zip", &["libzip-dev"], false),
    ("apcu", &[], true),
    ("imagick", &["libmagickwand-dev"], true),
    ("mongodb", &["libssl-dev"], true),
    ("redis", &[], true),
];

/// What in an app's files speaks for a driver that no manifest names.
const DRIVERS: &[(&str, &str)] = &[
    ("DB_CONNECTION=mysql", "pdo_mysql"),
    ("DB_CONNECTION=mariadb", "pdo_mysql"),
    ("DB_CONNECTION=pgsql", "pdo_pgsql"),
    ("postgresql://", "pdo_pgsql"),
    ("mysql://", "pdo_mysql"),
    ("mysql:host", "pdo_mysql"),
    ("pgsql:host", "pdo_pgsql"),
    ("mysqli_connect(", "mysqli"),
    ("new mysqli(", "mysqli"),
    ("pg_connect(", "pgsql"),
    ("new Redis(", "redis"),
];

/// The packages that are only there while it is compiled go again; the libraries that the result is linked with stay.
const INSTALL: &str = "set -e; kept=$(apt-mark showmanual); apt-get update; apt-get install -y --no-install-recommends $0; \
case \" $1 \" in *' gd '*) docker-php-ext-configure gd --with-freetype --with-jpeg --with-webp;; esac; \
[ -z \"$1\" ] || docker-php-ext-install -j\"$(nproc)\" $1; \
[ -z \"$2\" ] || { pecl install $2; docker-php-ext-enable $2; }; \
apt-mark auto '.*' >/dev/null; apt-mark manual $kept >/dev/null; \
find /usr/local/lib/php/extensions -name '*.so' -exec ldd {} + | awk '$2 == \"=>\" && $3 !~ /^.usr.local/ {sub(/^.(usr.)?/, \"\", $3); print \"*/\" $3}' \
| sort -u | xargs -r dpkg-query --search | cut -d: -f1 | sort -u | xargs -r apt-mark manual >/dev/null; \
apt-get purge -y --auto-remove; rm -rf /var/lib/apt/lists/* /tmp/pear";

/// What an app needs beyond the image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needed {
    known: BTreeSet<&'static str>,
    /// Names that nobody knows how to install.
    pub unknown: BTreeSet<String>,
}

impl Needed {
    /// `code` is what may name a driver: sources and examples of settings.
    pub fn read(tree: &SourceTree, code: &str) -> Self {
        let mut needed = Self::default();
        let manifest = json(tree, "composer.json").unwrap_or_default();
        let lock = json(tree, "composer.lock").unwrap_or_default();
        needed.required(manifest.get("require"));
        needed.required(lock.get("platform"));
        for package in lock.get("packages").and_then(Value::as_array).into_iter().flatten() {
            needed.required(package.get("require"));
        }
        for (_, name) in DRIVERS.iter().filter(|(word, _)| code.contains(word)) {
            needed.add(name);
        }
        needed
    }

    fn required(&mut self, list: Option<&Value>) {
        let names = list.and_then(Value::as_object).into_iter().flat_map(|list| list.keys());
        for name in names.filter_map(|name| name.strip_prefix("ext-")) {
            self.add(&name.to_ascii_lowercase());
        }
    }

    fn add(&mut self, name: &str) {
        match KNOWN.iter().find(|(known, ..)| *known == name) {
            Some((known, ..)) => {
                self.known.insert(known);
            }
            None if BUILT_IN.contains(&name) => {}
            None => {
                self.unknown.insert(name.chars().take(40).collect());
            }
        }
    }

    pub fn shown(&self) -> String {
        self.known.iter().copied().collect::<Vec<_>>().join(", ")
    }

    pub fn step(&self) -> Option<Step> {
        let chosen: Vec<&Extension> = KNOWN.iter().filter(|(name, ..)| self.known.contains(name)).collect();
        let named = |pecl: bool| {
            let names: Vec<&str> = chosen.iter().filter(|(.., of)| *of == pecl).map(|(name, ..)| *name).collect();
            names.join(" ")
        };
        let packages: BTreeSet<&str> = chosen.iter().flat_map(|(_, packages, _)| packages.iter().copied()).collect();
        let packages = packages.into_iter().collect::<Vec<_>>().join(" ");
        (!chosen.is_empty())
            .then(|| Step::new(&["bash", "-o", "pipefail", "-c", INSTALL, &packages, &named(false), &named(true)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(files: &[(&str, &str)], code: &str) -> Needed {
        Needed::read(&SourceTree::in_memory(files.iter().copied()), code)
    }

    #[test]
    fn from_manifest_lock_and_code() {
        let files = [
            ("composer.json", r#"{"require":{"php":"^8.2","ext-intl":"*","ext-json":"*"}}"#),
            ("composer.lock", r#"{"packages":[{"require":{"ext-GD":"*","ext-rdkafka":"*","x/y":"1"}}],"platform":[]}"#),
        ];
        let found = needed(&files, "DB_CONNECTION=pgsql\nnew Redis()");
        assert_eq!(found.shown(), "gd, intl, pdo_pgsql, redis");
        assert_eq!(found.unknown, BTreeSet::from(["rdkafka".to_owned()]));
        let step = found.step().expect("something is installed");
        assert_eq!(step.argv[5], "libfreetype-dev libicu-dev libjpeg62-turbo-dev libpng-dev libpq-dev libwebp-dev");
        assert_eq!(step.argv[6..], ["gd intl pdo_pgsql", "redis"]);
    }

    #[test]
    fn nothing_is_needed() {
        assert_eq!(needed(&[("composer.json", "[]")], "").step(), None);
    }

    #[test]
    fn hostile_names_reach_no_command() {
        let found = needed(&[("composer.json", r#"{"require":{"ext-gd; id":"*","ext-$(id)":"*"}}"#)], "");
        assert_eq!((found.step(), found.unknown.len()), (None, 2));
    }
}
