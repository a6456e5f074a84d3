//! Django: where `manage.py` is, which settings count, and what serves the app.
//!
//! Invariant: settings are searched, not run; a name that is taken from them is made of identifiers. Absent: the
//! database of the settings, which variables decide when it runs.

use std::collections::BTreeSet;

use super::{
    app::{App, Interface, What},
    pattern,
};
use crate::{
    domain::{EnvName, RelPath},
    generate::{plan::Step, source::SourceTree},
};

/// A project of Django.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Django {
    /// The directory of `manage.py`, relative to the app.
    pub at: RelPath,
    /// The settings for production, when the files that start the app name others.
    pub settings: Option<String>,
    wsgi: Option<String>,
    asgi: Option<String>,
    /// Where static files are collected, if anywhere.
    collects: bool,
    whitenoise: bool,
    any_host: bool,
    sqlite: bool,
    geo: bool,
    /// Variables without which the settings may refuse to load.
    secrets: BTreeSet<EnvName>,
}

/// The directories that a project usually lies in.
const PLACES: &[&str] = &["", "src/", "backend/", "app/", "server/", "django/", "web/", "project/"];

const MAX_SECRETS: usize = 20;

impl Django {
    pub fn find(tree: &SourceTree, sources: &[(String, String)]) -> Option<Self> {
        let is_django = |path: &str| tree.text(path).is_some_and(|text| text.contains("django"));
        let usual =
            PLACES.iter().map(|place| format!("{place}manage.py")).find(|path| tree.has(path) && is_django(path));
        let mut below = tree.named("manage.py").filter(|path| path.matches('/').count() == 1 && is_django(path));
        // The only one in a directory of any name.
        let only = || below.next().filter(|_| below.next().is_none()).map(str::to_owned);
        let at = usual.or_else(only)?.parse::<RelPath>().ok()?.parent();
        let inner = if at.is_root() { String::new() } else { format!("{at}/") };
        let inside: Vec<(&str, &str)> =
            sources.iter().filter_map(|(path, text)| Some((path.strip_prefix(&inner)?, text.as_str()))).collect();
        let settings: Vec<(&str, &str)> =
            inside.iter().copied().filter(|(path, _)| path.contains("settings") || path.contains("config/")).collect();
        let any = |words: &[&str]| settings.iter().any(|(_, text)| words.iter().any(|word| text.contains(word)));
        let any_host = pattern(r#"ALLOWED_HOSTS\s*=\s*\[[^\]\n]*["']\*["']"#)?;
        Some(Self {
            settings: production(&inside),
            wsgi: setting(&settings, "WSGI_APPLICATION").or_else(|| served(&inside, "get_wsgi_application")),
            asgi: setting(&settings, "ASGI_APPLICATION").or_else(|| served(&inside, "get_asgi_application")),
            collects: any(&["STATIC_ROOT", "django_heroku"]),
            whitenoise: any(&["whitenoise", "django_heroku"]),
            any_host: settings.iter().any(|(_, text)| any_host.is_match(text)),
            sqlite: any(&["backends.sqlite3"])
                && !any(&["DATABASE_URL", "dj_database_url", "backends.postgresql", "backends.mysql", "env.db("]),
            geo: any(&["django.contrib.gis"]),
            secrets: secrets(&settings),
            at,
        })
    }

    /// With WSGI, unless the app is made for ASGI.
    pub fn app(&self, prefers_asgi: bool) -> Option<App> {
        let object = |interface, name: &Option<String>| Some((interface, name.clone()?));
        let (wsgi, asgi) = (object(Interface::Wsgi, &self.wsgi), object(Interface::Asgi, &self.asgi));
        let (interface, name) = if prefers_asgi { asgi.or(wsgi) } else { wsgi.or(asgi) }?;
        let what = What::Object { interface, name, factory: false };
        let place = if self.at.is_root() { "manage.py".to_owned() } else { format!("{}/manage.py", self.at) };
        Some(App { what, framework: Some("django"), place, root: self.at.clone() })
    }

    /// Static files of Django and of the app, collected while the image is built: without them, pages answer 500. The
    /// settings get values that have no meaning, since many refuse to load without any.
    pub fn collect_static(&self) -> Option<Step> {
        let manage = if self.at.is_root() { "manage.py".to_owned() } else { format!("{}/manage.py", self.at) };
        let settings = self.settings.as_ref().map(|settings| format!("DJANGO_SETTINGS_MODULE={settings}"));
        let secrets = self.secrets.iter().map(|name| format!("{name}=only-for-this-step"));
        let database = "DATABASE_URL=sqlite:////tmp/none.sqlite3".to_owned();
        let command = ["python3", &manage, "collectstatic", "--noinput"].map(str::to_owned);
        let words = std::iter::once("env".to_owned()).chain(secrets).chain([database]).chain(settings).chain(command);
        self.collects.then(|| Step::new(&words.collect::<Vec<_>>()))
    }

    /// From the directory of `manage.py`, or from the app's own.
    pub fn migrate(&self, inside: bool) -> Vec<String> {
        let manage =
            if inside || self.at.is_root() { "manage.py".to_owned() } else { format!("{}/manage.py", self.at) };
        ["python3", &manage, "migrate", "--noinput"].map(str::to_owned).into()
    }

    /// Whether a request that names no domain of the app is answered.
    pub fn answers_any_host(&self) -> bool {
        self.any_host
    }

    pub fn is_geographic(&self) -> bool {
        self.geo
    }

    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.any_host {
            warnings.push("ALLOWED_HOSTS of the settings must hold the app's domain".to_owned());
        }
        if !self.whitenoise {
            let also = if self.collects { "" } else { " and set STATIC_ROOT" };
            warnings.push(format!("nothing serves the static files in production; add WhiteNoise{also}"));
        }
        if self.sqlite {
            warnings.push(
                "the settings keep the data in SQLite inside of the image, which is lost with each release".to_owned(),
            );
        }
        warnings
    }
}

/// `a.b.application` of a setting as `a.b:application`.
fn setting(settings: &[(&str, &str)], name: &str) -> Option<String> {
    let wanted = pattern(&format!(r#"(?m)^{name}\s*=\s*["']([A-Za-z_][\w.]*)\.([A-Za-z_]\w*)["']"#))?;
    settings.iter().find_map(|(_, text)| wanted.captures(text)).map(|found| format!("{}:{}", &found[1], &found[2]))
}

/// The names of secrets that the settings read, with the usual one.
fn secrets(settings: &[(&str, &str)]) -> BTreeSet<EnvName> {
    let calls = r"environ\[|environ\.get\(|getenv\(|env\(|env\.str\(|config\(";
    let read = pattern(&format!(r#"(?:{calls})\s*["'](\w*(?:SECRET|KEY)\w*)["']"#));
    let found = settings.iter().flat_map(|(_, text)| read.iter().flat_map(|read| read.captures_iter(text)));
    let names = found.map(|found| found[1].to_owned()).chain(["SECRET_KEY".to_owned()]);
    names.filter_map(|name| name.parse().ok()).take(MAX_SECRETS).collect()
}

/// The module that makes the app's object.
fn served(sources: &[(&str, &str)], call: &str) -> Option<String> {
    let wanted = pattern(&format!(r"(?m)^([A-Za-z_]\w*)\s*=\s*(?:\w+\()?{call}\("))?;
    let found = sources.iter().filter(|(path, _)| path.ends_with("wsgi.py") || path.ends_with("asgi.py"));
    found.filter_map(|(path, text)| Some(format!("{}:{}", module(path)?, &wanted.captures(text)?[1]))).next()
}

fn module(path: &str) -> Option<String> {
    let path = path.strip_suffix(".py")?;
    let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '/');
    plain.then(|| path.replace('/', "."))
}

/// The settings for production beside those that the app would start with.
fn production(sources: &[(&str, &str)]) -> Option<String> {
    let wanted = pattern(r#"DJANGO_SETTINGS_MODULE["']\s*,\s*["']([A-Za-z_][\w.]*)["']"#)?;
    let named = |file: &str| {
        let mut texts = sources.iter().filter(|(path, _)| path.rsplit('/').next() == Some(file));
        texts.find_map(|(_, text)| wanted.captures(text).map(|found| found[1].to_owned()))
    };
    let names = [named("wsgi.py").or_else(|| named("asgi.py")), named("manage.py")];
    let used = names.iter().flatten().next()?;
    let package = match used.rsplit_once('.') {
        Some((package, "local" | "dev" | "development" | "base")) => package,
        // The package itself usually holds the settings of development.
        _ => used,
    };
    let file =
        |name: &&&str| sources.iter().any(|(path, _)| *path == format!("{}/{name}.py", package.replace('.', "/")));
    let better = ["production", "prod"].iter().find(|name| file(name)).map(|name| format!("{package}.{name}"));
    // All that starts the app has to agree.
    let differs = names.iter().flatten().any(|name| Some(name) != better.as_ref())
        && !used.ends_with(".production")
        && !used.ends_with(".prod");
    let told = names.iter().flatten().any(|name| name != used).then(|| used.clone());
    better.filter(|_| differs).or(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::scan;

    fn found(files: &[(&str, &str)]) -> Option<Django> {
        let tree = SourceTree::in_memory(files.iter().copied());
        Django::find(&tree, &scan::sources(&tree, &[".py"]))
    }

    fn name(django: &Django) -> String {
        format!("{:?}", django.app(false).expect("app").what)
    }

    const MANAGE: &str = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\nimport django";

    #[test]
    fn a_usual_project() {
        let settings = "WSGI_APPLICATION = 'shop.wsgi.application'\nALLOWED_HOSTS = ['*']\nSTATIC_ROOT = 'x'\n\
                        K = env('API_KEY')\nMIDDLEWARE = ['whitenoise.x']";
        let django = found(&[("manage.py", MANAGE), ("shop/settings.py", settings)]).expect("django");
        assert!(name(&django).contains("Wsgi, name: \"shop.wsgi:application\""));
        assert!(django.warnings().is_empty() && django.settings.is_none());
        let step = django.collect_static().expect("step").shown();
        assert!(step.starts_with("env API_KEY=only-for-this-step SECRET_KEY="), "{step}");
        assert!(step.ends_with("sqlite3 python3 manage.py collectstatic --noinput"), "{step}");
    }

    #[test]
    fn in_a_directory_of_its_own() {
        let wsgi = "application = get_wsgi_application()";
        let django = found(&[("site1/manage.py", MANAGE), ("site1/shop/wsgi.py", wsgi)]).expect("django");
        assert_eq!(django.at.as_str(), "site1");
        assert!(name(&django).contains("shop.wsgi:application"));
        assert!(django.collect_static().is_none());
        assert_eq!(django.warnings().len(), 2);
        assert!(found(&[("a/manage.py", MANAGE), ("b/manage.py", MANAGE)]).is_none(), "which one is not known");
        assert!(found(&[("manage.py", "import flask_script")]).is_none());
    }

    #[test]
    fn settings_of_production() {
        let settings = |manage: &str, wsgi: &str, files: &[&str]| {
            let line =
                |name: &str| format!("os.environ.setdefault('DJANGO_SETTINGS_MODULE', '{name}')\nimport django\n");
            let (manage, wsgi) = (line(manage), line(wsgi));
            let files = files.iter().map(|file| (*file, "X = 1"));
            found(&files.chain([("manage.py", manage.as_str()), ("c/wsgi.py", wsgi.as_str())]).collect::<Vec<_>>())
                .expect("django")
                .settings
        };
        assert_eq!(settings("c.settings", "c.settings", &["c/settings.py"]), None);
        assert_eq!(
            settings("c.settings.local", "c.settings.local", &["c/settings/production.py"]),
            Some("c.settings.production".into())
        );
        assert_eq!(
            settings("c.settings.local", "c.settings.production", &["c/settings/production.py"]),
            Some("c.settings.production".into())
        );
        assert_eq!(
            settings("c.settings", "c.settings", &["c/settings/__init__.py", "c/settings/prod.py"]),
            Some("c.settings.prod".into())
        );
    }
}
