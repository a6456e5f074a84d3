//! What kind of PHP app it is: its framework, where its public files lie, what is particular to its build.

use crate::{
    domain::RelPath,
    generate::{hints::Hint, look::Look, source::SourceTree},
};

/// A framework by one of its packages.
#[derive(Debug, PartialEq, Eq)]
pub struct Framework {
    pub name: &'static str,
    package: &'static str,
    /// Directories that it writes into and that are to outlive a release.
    pub keeps: &'static [&'static str],
    /// What it must know to run in production.
    pub env: &'static [(&'static str, &'static str)],
    /// What runs once before a release, and the file or package that speaks for it.
    pub release: Option<(&'static [&'static str], &'static str)>,
    /// What a person has to set.
    pub demands: &'static [&'static str],
}

const fn plain(name: &'static str, package: &'static str) -> Framework {
    Framework { name, package, keeps: &[], env: &[], release: None, demands: &[] }
}

static FRAMEWORKS: &[Framework] = &[
    Framework {
        keeps: &["storage"],
        env: &[
            ("APP_ENV", "production"),
            ("APP_DEBUG", "false"),
            ("LOG_CHANNEL", "stderr"),
            // Compiled views in the volume would be those of the release before.
            ("VIEW_COMPILED_PATH", "/tmp/views"),
        ],
        release: Some((&["php", "artisan", "migrate", "--force"], "database/migrations")),
        demands: &["Laravel needs the variable APP_KEY"],
        ..plain("laravel", "laravel/framework")
    },
    Framework {
        env: &[("APP_ENV", "prod"), ("APP_DEBUG", "0")],
        release: Some((
            &["php", "bin/console", "doctrine:migrations:migrate", "--no-interaction", "--allow-no-migration"],
            "migrations",
        )),
        demands: &["the file .env is not part of the image; set the variables that it names, such as APP_SECRET"],
        ..plain("symfony", "symfony/framework-bundle")
    },
    plain("slim", "slim/slim"),
    plain("lumen", "laravel/lumen-framework"),
    plain("codeigniter", "codeigniter4/framework"),
    plain("cakephp", "cakephp/cakephp"),
    plain("yii", "yiisoft/yii2"),
    plain("laminas", "laminas/laminas-mvc"),
    plain("mezzio", "mezzio/mezzio"),
    plain("drupal", "drupal/core-recommended"),
    plain("silex", "silex/silex"),
];

const ROOTS: &[&str] = &["public", "web", "webroot", "www", "htdocs", "html", "docroot", "public_html"];

/// The framework whose package the manifest requires.
pub fn recognise(manifest: &serde_json::Value) -> Option<&'static Framework> {
    let requires = |package: &str| manifest.get("require").is_some_and(|list| list.get(package).is_some());
    FRAMEWORKS.iter().find(|framework| requires(framework.package))
}

/// The directory of public files, and what told it.
pub fn document_root(look: &Look<'_>) -> Option<(RelPath, String)> {
    let hinted = look.hints.web.iter().find_map(|hint| Some((of_heroku(&look.here, hint)?, hint.from.clone())));
    hinted.or_else(|| usual(&look.here))
}

fn usual(tree: &SourceTree) -> Option<(RelPath, String)> {
    let with_index = |directory: &&&str| tree.has(&format!("{directory}/index.php"));
    if let Some(directory) = ROOTS.iter().find(with_index) {
        return Some((directory.parse().ok()?, format!("{directory}/index.php")));
    }
    tree.has("index.php").then(|| (RelPath::root(), "index.php".to_owned()))
}

/// `vendor/bin/heroku-php-nginx -C nginx.conf public/` names the directory last; none is the app's own.
fn of_heroku(tree: &SourceTree, hint: &Hint) -> Option<RelPath> {
    let mut words = hint.text.split_whitespace();
    words.find(|word| word.contains("heroku-php-"))?;
    let mut option = false;
    let directory = words.filter(|word| {
        let value = std::mem::replace(&mut option, word.starts_with('-') && word.len() == 2);
        !value && !word.starts_with('-')
    });
    let directory = directory.last().unwrap_or_default();
    let path: RelPath = directory.trim_end_matches('/').parse().ok()?;
    (path.is_root() || tree.has_directory(path.as_str())).then_some(path)
}

/// A line that starts a server or a worker of PHP's own, such as ReactPHP or a queue.
pub fn own_process(hint: &Hint) -> bool {
    let mut words = hint.text.split_whitespace();
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let third = words.next().unwrap_or_default();
    // Both are servers for development.
    let development = second.starts_with("-S") || second == "artisan" && third == "serve";
    first == "php" && !second.is_empty() && !development
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::recipe::Wishes;

    fn root(files: &[(&str, &str)]) -> String {
        let tree = SourceTree::in_memory(files.iter().copied());
        let wishes = Wishes::default();
        let look = Look::new(&tree, &RelPath::root(), &wishes);
        document_root(&look).map_or_else(|| "-".into(), |(path, from)| format!("{path:?} {from}"))
    }

    #[test]
    fn roots() {
        let procfile = |line: &'static str| [("Procfile", line), ("web/index.php", ""), ("index.php", "")];
        assert!(root(&procfile("web: heroku-php-apache2 web/")).ends_with("Procfile:1"));
        assert!(root(&procfile("web: vendor/bin/heroku-php-nginx -C nginx.conf web/")).contains("\"web\""));
        assert!(root(&procfile("web: heroku-php-apache2")).contains("\"\""));
        assert!(root(&procfile("web: heroku-php-apache2 ../etc")).ends_with("web/index.php"));
        assert!(root(&procfile("web: heroku-php-apache2 nowhere/")).ends_with("web/index.php"));
        assert!(root(&[("index.php", ""), ("public/logo.svg", "")]).ends_with(" index.php"));
        assert_eq!(root(&[("src/a.php", "")]), "-");
    }

    #[test]
    fn processes() {
        let own = |line: &str| own_process(&Hint::new(line, "Procfile:1"));
        assert!(own("php bin/server.php") && own("php artisan queue:work"));
        assert!(
            !own("php -S 0.0.0.0:80") && !own("php artisan serve --port=80") && !own("heroku-php-apache2") && !own("")
        );
    }
}
