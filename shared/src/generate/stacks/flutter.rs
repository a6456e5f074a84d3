//! Flutter for the web.
//!
//! The projects in `android/`, `ios/` and the like belong to Flutter and say nothing about the app here. None of its files has a name with a hash, so browsers ask again for each. Flutter's images are not those of the public
//! hub, which has no official ones, but the ones that its community uses.

use super::{
    Stack,
    dart::pubspec::{self, Pubspec},
};
use crate::generate::{
    detect::Candidate,
    error::GenerateError,
    images::BaseImage,
    look::Look,
    plan::{BuildPlan, Kind, Manifest, Stage, Step},
    scan,
    site::{self, Site},
    source::SourceTree,
};

pub struct Flutter;

const IMAGE: &str = "ghcr.io/cirruslabs/flutter";
const OUTPUT: &str = "build/web";
const CACHE: (&str, &str) = ("byop-pub", "/root/.pub-cache");

fn read(tree: &SourceTree) -> Option<Pubspec> {
    Pubspec::read(tree).filter(Pubspec::is_flutter)
}

impl Stack for Flutter {
    fn name(&self) -> &'static str {
        "flutter"
    }

    fn looks_for(&self) -> &'static str {
        "pubspec.yaml and web/index.html (Flutter for the web)"
    }

    fn detect(&self, look: &Look<'_>) -> Option<Candidate> {
        read(&look.here)?;
        let web = look.here.has("web/index.html");
        let candidate = Candidate::new("flutter", if web { 92 } else { 50 }).because("pubspec.yaml", "a Flutter app");
        Some(if web { candidate.because("web/index.html", "its page") } else { candidate })
    }

    fn plan(&self, look: &Look<'_>) -> Result<BuildPlan, GenerateError> {
        let tree = &look.here;
        let pubspec = read(tree).ok_or_else(|| GenerateError::no_start("flutter", "pubspec.yaml needs no Flutter"))?;
        if !tree.has("web/index.html") {
            let reason =
                "it is for phones or desktops alone; run flutter create --platforms web . and commit the directory web";
            return Err(GenerateError::Unsupported { stack: "flutter", reason: reason.into() });
        }
        let version = pubspec::flutter(look, &pubspec)?;
        let sources = scan::sources(tree, &[".dart"]);
        let routes = sources.iter().any(|(_, text)| {
            ["usePathUrlStrategy(", "setPathUrlStrategy(", "PathUrlStrategy("].iter().any(|word| text.contains(word))
        });
        let mut build = Stage::on(BaseImage::new(&format!("{IMAGE}:{}", version.release)));
        if !pubspec.has_local() {
            build.manifests = Manifest::of(["pubspec.yaml", "pubspec.lock"].iter().filter_map(|name| tree.find(name)));
        }
        // A lock file names packages of the SDK itself, so it holds only with the SDK that it was made with.
        let locked: &[&str] = if version.pinned && pubspec.is_locked() { &["--enforce-lockfile"] } else { &[] };
        build.install = vec![Step::new(&[&["flutter", "pub", "get"], locked].concat()).cached(CACHE.0, CACHE.1)];
        build.build = steps(tree, &pubspec, &sources);
        let mut notes = vec![version.reason];
        notes.extend(build.install.iter().chain(&build.build).map(|step| format!("build: {}", step.shown())));
        let (kind, site) = if routes { (Kind::Spa, Site::APP) } else { (Kind::Static, Site::PAGES) };
        notes.push(format!("serves {OUTPUT} as files{}", if routes { ", with one page for all routes" } else { "" }));
        let template = include_str!("../../../../templates/dockerfile/dart.hbs");
        let mut plan = BuildPlan::new(template, look.at.clone(), site::runtime(look, site, &format!("/app/{OUTPUT}")));
        plan.about.kind = kind;
        plan.about.framework = Some("flutter-web".into());
        plan.about.package_manager = Some("pub".into());
        plan.about.runtime = Some(format!("flutter {}", version.release));
        plan.about.build_command = build.build.last().map(Step::shown);
        plan.about.output_dir = Some(OUTPUT.into());
        plan.about.warnings = version.warnings;
        plan.build = Some(build);
        plan.notes = notes;
        Ok(plan)
    }
}

/// Code that is made from code has to be made first, unless the repository has it.
fn steps(tree: &SourceTree, pubspec: &Pubspec, sources: &[(String, String)]) -> Vec<Step> {
    let wanted = pubspec.builds_with("build_runner")
        && sources.iter().any(|(_, text)| text.contains(".g.dart'") || text.contains(".freezed.dart'"));
    let made = tree.paths().any(|path| path.ends_with(".g.dart") || path.ends_with(".freezed.dart"));
    let generate =
        (wanted && !made).then(|| Step::new(&["dart", "run", "build_runner", "build", "--delete-conflicting-outputs"]));
    let build = Step::new(&["flutter", "build", "web", "--release"]);
    generate.into_iter().chain([build]).map(|step| step.cached(CACHE.0, CACHE.1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::RelPath, generate::recipe::Wishes};

    const PUBSPEC: &str = "name: x\ndependencies:\n  flutter:\n    sdk: flutter\n";

    fn planned(files: &[(&str, &str)]) -> String {
        let tree = SourceTree::in_memory(files.iter().copied());
        let wishes = Wishes::default();
        match Flutter.plan(&Look::new(&tree, &RelPath::root(), &wishes)) {
            Ok(plan) => {
                let build = plan.build.expect("stage");
                let steps: Vec<_> = build.install.iter().chain(&build.build).map(Step::shown).collect();
                format!("{:?}: {}", plan.about.kind, steps.join("; "))
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_web_and_others() {
        let page = ("web/index.html", "");
        let usual =
            planned(&[("pubspec.yaml", PUBSPEC), page, ("lib/main.dart", "void main() {}"), ("pubspec.lock", "{}")]);
        assert_eq!(usual, "Static: flutter pub get; flutter build web --release");
        let routes = planned(&[("pubspec.yaml", PUBSPEC), page, ("lib/main.dart", "usePathUrlStrategy();")]);
        assert!(routes.starts_with("Spa"));
        let pinned = [("pubspec.yaml", PUBSPEC), page, (".fvmrc", r#"{"flutter":"3.24.5"}"#), ("pubspec.lock", "{}")];
        assert!(planned(&pinned).contains("--enforce-lockfile"));
        assert!(planned(&[("pubspec.yaml", PUBSPEC)]).contains("flutter create --platforms web"));
        let generated = format!("{PUBSPEC}dev_dependencies:\n  build_runner: any\n");
        let made = planned(&[("pubspec.yaml", &generated), page, ("lib/a.dart", "part 'a.g.dart';")]);
        assert!(made.contains("build_runner build"));
    }
}
