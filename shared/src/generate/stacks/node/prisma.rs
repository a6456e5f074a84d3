//! Prisma: its client is made from the app's schema before the app is built, and its engine needs OpenSSL, which slim
//! images lack.
//!
//! Absent: the database, which is asked for nowhere but in the release step.

use super::package::Package;
use crate::generate::{plan::Step, source::SourceTree};

/// An app with a schema of Prisma.
pub struct Prisma {
    /// Makes the client, when no script of the app does.
    pub generate: Option<Step>,
    /// Migrations, which run once before a release and never as part of the start.
    pub migrate: Option<Vec<String>>,
}

impl Prisma {
    pub const PACKAGES: &'static [&'static str] = &["openssl"];

    pub fn find(here: &SourceTree, package: &Package) -> Option<Self> {
        if !package.needs_any(&["prisma", "@prisma/client"]) {
            return None;
        }
        let named = package.text("prisma/schema");
        let usual =
            ["prisma/schema.prisma", "schema.prisma", "prisma.config.ts", "prisma.config.js", "prisma.config.mjs"];
        let is_there = |path: &str| here.has(path) || here.has_directory(path);
        let schema = named.is_some_and(is_there) || usual.iter().any(|path| here.has(path));
        let migrations = named.and_then(|path| path.rsplit_once('/')).map_or("prisma", |(directory, _)| directory);
        let migrates = [migrations, "prisma"].iter().any(|at| here.has_directory(&format!("{at}/migrations")));
        let made = package.scripts().any(|(_, script)| script.contains("prisma generate"));
        Some(Self {
            generate: (schema && !made && package.needs("prisma"))
                .then(|| Step::new(&["npx", "--no-install", "prisma", "generate"])),
            migrate: migrates.then(|| ["npx", "prisma", "migrate", "deploy"].map(str::to_owned).into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(manifest: &str, files: &[&str]) -> Option<(bool, bool)> {
        let files = files.iter().map(|path| (*path, ""));
        let tree = SourceTree::in_memory(files.chain([("package.json", manifest)]));
        let prisma = Prisma::find(&tree, &Package::read(&tree).expect("package"))?;
        Some((prisma.generate.is_some(), prisma.migrate.is_some()))
    }

    #[test]
    fn the_client_is_made_where_nothing_else_makes_it() {
        let needs = r#""devDependencies":{"prisma":"4"}"#;
        let of = |more: &str, files: &[&str]| found(&format!("{{{needs}{more}}}"), files);
        assert_eq!(found("{}", &["prisma/schema.prisma"]), None);
        assert_eq!(of("", &["prisma/schema.prisma", "prisma/migrations/1/migration.sql"]), Some((true, true)));
        assert_eq!(of("", &["src/prisma/schema.prisma"]), Some((false, false)));
        let named = r#","prisma":{"schema":"src/prisma/schema.prisma"}"#;
        assert_eq!(of(named, &["src/prisma/schema.prisma", "src/prisma/migrations/1/m.sql"]), Some((true, true)));
        let script = r#","scripts":{"build":"prisma generate && tsc"}"#;
        assert_eq!(of(script, &["prisma/schema.prisma"]), Some((false, false)));
        assert_eq!(
            found(r#"{"dependencies":{"@prisma/client":"4"}}"#, &["prisma/schema.prisma"]),
            Some((false, false))
        );
    }
}
