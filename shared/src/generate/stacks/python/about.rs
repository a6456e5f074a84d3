//! What people and programs are told about an app: its framework, what it needs, what runs once before a release.

use super::{
    Draft,
    app::{App, What},
    django::Django,
    hinted,
};
use crate::generate::{
    look::json,
    plan::{BuildPlan, Stage, Step},
};

impl Draft<'_> {
    pub fn tell(&self, plan: &mut BuildPlan, build: &Stage) {
        let about = &mut plan.about;
        about.kind = self.kind;
        about.framework = self.framework().map(str::to_owned);
        about.package_manager = Some(self.manager.shown().to_owned());
        about.runtime = Some(format!("python {}", self.version.series.name));
        let commands: Vec<String> = build.build.iter().map(Step::shown).collect();
        about.build_command = (!commands.is_empty()).then(|| commands.join(" && "));
        about.release = self.release();
        about.needs =
            self.deps.needs().into_iter().map(str::to_owned).chain(self.look.hints.needs.iter().cloned()).collect();
        about.needs.sort();
        about.needs.dedup();
        about.warnings.clone_from(&self.version.warnings);
        if !self.manager.is_reproducible(&self.deps) {
            about.warnings.push("not every version is locked, so two builds may differ; commit a lock file".into());
        }
        if self.session_key().is_some() {
            about.warnings.push("sessions end with each restart; give FastHTML a secret_key".into());
        }
        if self.has_unused_scripts(plan.assets.is_some()) {
            about.warnings.push(
                "package.json installs something that is not part of the build; name it in a script build".into(),
            );
        }
        about.warnings.extend(self.found.django.iter().flat_map(Django::warnings));
    }

    /// Scripts of an installation beside the app, which nothing runs without a build of the front end.
    fn has_unused_scripts(&self, built: bool) -> bool {
        let package = json(&self.look.here, "package.json").filter(|_| !built);
        package.is_some_and(|package| package.pointer("/scripts/postinstall").is_some())
    }

    /// Steps before a release, each to be run in the image's own directory.
    fn release(&self) -> Vec<Vec<String>> {
        // Where the process runs, by which such tools find their files; a platform's file starts it at the top.
        let inside = self.found.web.is_none();
        let at = self.found.app.as_ref().filter(|_| inside).map(|app| app.root.clone()).unwrap_or_default();
        let tree = &self.look.here.below(&at);
        if let Some(told) = hinted::release(self.look) {
            return vec![told];
        }
        let once = self.found.web.as_ref().map(|web| web.once.clone()).unwrap_or_default();
        let words = |words: &[&str]| vec![words.iter().map(|word| (*word).to_owned()).collect()];
        match (&self.found.django, &self.found.app) {
            _ if !once.is_empty() => once,
            (Some(django), _) => vec![django.migrate(inside)],
            (_, Some(App { what: What::Object { name, factory, .. }, .. }))
                if self.deps.has("flask-migrate") && tree.has("migrations/env.py") =>
            {
                let (module, object) = name.split_once(':').unwrap_or((name, "app"));
                let app = format!("{module}:{object}{}", if *factory { "()" } else { "" });
                words(&["flask", "--app", &app, "db", "upgrade"])
            }
            _ if self.deps.has("alembic") && tree.has("alembic.ini") => words(&["alembic", "upgrade", "head"]),
            _ => Vec::new(),
        }
    }
}
