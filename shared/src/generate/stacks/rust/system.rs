//! What a lock file tells of the world outside of Cargo: libraries of C, tools of builds, data services.
//!
//! Invariant: every package of Debian that is named here is a constant; the lock file only chooses among them.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

/// The locked packages, each with what it needs.
#[derive(Clone, Debug, Default)]
pub struct Lock(BTreeMap<String, BTreeSet<String>>);

/// Debian packages for the build and for the running image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Libraries {
    pub build: BTreeSet<&'static str>,
    pub run: BTreeSet<&'static str>,
}

struct Rule {
    package: &'static str,
    /// Among its needs when it brings the library along.
    bundled_by: Option<&'static str>,
    build: &'static [&'static str],
    run: &'static [&'static str],
}

const fn rule(package: &'static str, build: &'static [&'static str], run: &'static [&'static str]) -> Rule {
    Rule { package, bundled_by: None, build, run }
}

const RULES: &[Rule] = &[
    Rule { bundled_by: Some("openssl-src"), ..rule("openssl-sys", &["pkg-config", "libssl-dev"], &["libssl3"]) },
    Rule { bundled_by: Some("pq-src"), ..rule("pq-sys", &["libpq-dev"], &["libpq5"]) },
    rule("mysqlclient-sys", &["pkg-config", "default-libmysqlclient-dev"], &["libmariadb3"]),
    Rule { bundled_by: Some("cc"), ..rule("libsqlite3-sys", &["pkg-config", "libsqlite3-dev"], &["libsqlite3-0"]) },
    rule("openssl-src", &["perl", "make"], &[]),
    rule("prost-build", &["protobuf-compiler"], &[]),
    rule("tonic-build", &["protobuf-compiler"], &[]),
    rule("tonic-prost-build", &["protobuf-compiler"], &[]),
    rule("bindgen", &["clang", "libclang-dev"], &[]),
    rule("cmake", &["cmake", "make", "g++"], &[]),
    rule("rdkafka-sys", &["make", "g++"], &[]),
    rule("link-cplusplus", &["g++"], &["libstdc++6"]),
    rule("cxx", &["g++"], &["libstdc++6"]),
    rule("tikv-jemalloc-sys", &["make"], &[]),
    rule("libsodium-sys", &["make"], &[]),
    rule("magick_rust", &["pkg-config", "libmagickwand-dev"], &["libmagickwand-6.q16-6"]),
    rule("fontconfig-sys", &["pkg-config", "libfontconfig1-dev"], &["libfontconfig1"]),
    rule("yeslogic-fontconfig-sys", &["pkg-config", "libfontconfig1-dev"], &["libfontconfig1"]),
    rule("rdkafka", &["zlib1g-dev"], &["zlib1g"]),
    rule("libudev-sys", &["pkg-config", "libudev-dev"], &["libudev1"]),
];

/// Crates that speak to a data service.
const SERVICES: &[(&str, &str)] = &[
    ("sqlx-postgres", "postgres"),
    ("tokio-postgres", "postgres"),
    ("pq-sys", "postgres"),
    ("sqlx-mysql", "mysql"),
    ("mysql_async", "mysql"),
    ("mysqlclient-sys", "mysql"),
    ("redis", "redis"),
    ("fred", "redis"),
    ("mongodb", "mongodb"),
    ("lapin", "rabbitmq"),
    ("rdkafka", "kafka"),
    ("async-nats", "nats"),
];

impl Lock {
    pub fn read(text: &str) -> Option<Self> {
        let table: Table = text.parse().ok()?;
        let mut packages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for package in table.get("package").and_then(Value::as_array)? {
            let Some(name) = package.get("name").and_then(Value::as_str) else { continue };
            let needs = package.get("dependencies").and_then(Value::as_array).cloned().unwrap_or_default();
            // A need may name a version and a source behind its name.
            let needs = needs.iter().filter_map(|need| Some(need.as_str()?.split(' ').next()?.to_owned()));
            packages.entry(name.to_owned()).or_default().extend(needs);
        }
        Some(Self(packages))
    }

    pub fn has(&self, package: &str) -> bool {
        self.0.contains_key(package)
    }

    pub fn libraries(&self) -> Libraries {
        let mut found = Libraries::default();
        for rule in RULES {
            let Some(needs) = self.0.get(rule.package) else { continue };
            if !rule.bundled_by.is_some_and(|bundle| needs.contains(bundle)) {
                found.build.extend(rule.build);
                found.run.extend(rule.run);
            }
        }
        found
    }

    /// A lock file also holds what is only possible; what the binary needs reaches it from the package.
    pub fn reaches(&self, package: &str) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut waiting = vec![package.to_owned()];
        while let Some(name) = waiting.pop() {
            if let Some(needs) = self.0.get(&name).filter(|_| seen.insert(name.clone())) {
                waiting.extend(needs.iter().filter(|need| !seen.contains(*need)).cloned());
            }
        }
        seen
    }

    /// Only the packages that `package` reaches.
    pub fn of(&self, package: &str) -> Self {
        let reached = self.reaches(package);
        Self(self.0.iter().filter(|(name, _)| reached.contains(*name)).map(|(n, d)| (n.clone(), d.clone())).collect())
    }

    pub fn services(&self) -> Vec<String> {
        let names: BTreeSet<&str> =
            SERVICES.iter().filter(|(package, _)| self.has(package)).map(|(_, name)| *name).collect();
        names.into_iter().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(packages: &[(&str, &[&str])]) -> Lock {
        let text: String = packages
            .iter()
            .map(|(name, needs)| format!("[[package]]\nname = {name:?}\ndependencies = {needs:?}\n"))
            .collect();
        Lock::read(&text).expect("lock")
    }

    #[test]
    fn libraries_that_are_not_bundled() {
        let all = |packages| {
            let found = lock(packages).libraries();
            [found.build, found.run].map(|set| set.into_iter().collect::<Vec<_>>().join(" ")).join(" / ")
        };
        assert_eq!(all(&[("openssl-sys", &["cc", "pkg-config"])]), "libssl-dev pkg-config / libssl3");
        assert_eq!(all(&[("openssl-sys", &["openssl-src"]), ("openssl-src", &[])]), "make perl / ");
        assert_eq!(all(&[("libsqlite3-sys", &["cc", "pkg-config"])]), " / ");
        assert_eq!(all(&[("libsqlite3-sys", &["pkg-config"])]), "libsqlite3-dev pkg-config / libsqlite3-0");
    }

    #[test]
    fn only_what_is_reached() {
        let lock = lock(&[("app", &["a 1.0.0"]), ("a", &["app", "redis"]), ("redis", &[]), ("pq-sys", &[])]);
        assert_eq!(lock.of("app").services(), ["redis"]);
        assert_eq!(lock.services(), ["postgres", "redis"]);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC*|(\\[\\[package\\]\\]\n|name = \"[a-z]*\"\n|dependencies = \\[\"a\", 1\\]\n){0,9}") {
            if let Some(lock) = Lock::read(&text) { lock.of("a").libraries(); }
        }
    }
}
