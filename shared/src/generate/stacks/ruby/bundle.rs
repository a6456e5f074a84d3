//! `Gemfile` and `Gemfile.lock`, read as text.
//!
//! Invariant: any text gives an answer in linear time; nothing of it but a checked version leaves this module as part of
//! a name. Absent: running the Gemfile, which is a program.

use crate::generate::{
    look::Look,
    source::SourceTree,
    stacks::pattern::Pattern,
    versions::{self, Choice, Conflict, Demand, Demands, RUBY, Series},
};

static GEM: Pattern = Pattern::new(r#"(?m)^\s*gem[ (]+["']([A-Za-z0-9_.-]{1,100})["']"#);
static LOCKED: Pattern = Pattern::new(r"(?m)^    ([A-Za-z0-9_.-]{1,100}) \(");
static RUBY_LINE: Pattern = Pattern::new(r#"(?m)^ruby[ (]+["']([^"'\n]{1,60})["']"#);
static RUBY_LOCKED: Pattern = Pattern::new(r"(?m)^RUBY VERSION\r?\n +ruby ([0-9.]{1,20})");
static EXACT: Pattern = Pattern::new(r"^([0-9]{1,2}\.[0-9]{1,2}\.[0-9]{1,3})$");
/// What makes a Gemfile read other files of the repository.
const READS_FILES: &[&str] = &["path:", ":path", "gemspec", "eval_gemfile", "require_relative", "File.", "Dir."];

/// The gems of an app.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    gemfile: String,
    lock: Option<String>,
    gems: Vec<String>,
}

impl Bundle {
    pub fn read(tree: &SourceTree) -> Option<Self> {
        let gemfile = tree.text("Gemfile")?;
        let lock = tree.text("Gemfile.lock");
        let locked = lock.as_deref().unwrap_or_default();
        let gems = GEM.all(&gemfile).chain(LOCKED.all(locked)).map(str::to_owned).collect();
        Some(Self { gems, gemfile, lock })
    }

    pub fn has(&self, gem: &str) -> bool {
        self.gems.iter().any(|name| name == gem)
    }

    pub fn has_any(&self, gems: &[&str]) -> bool {
        gems.iter().any(|gem| self.has(gem))
    }

    pub fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    /// Whether the Gemfile needs other files than those beside it; the version's own file is beside it.
    pub fn reads_files(&self) -> bool {
        let version = |line: &&str| !line.trim_start().starts_with("ruby ") && !line.trim_start().starts_with('#');
        self.gemfile.lines().filter(version).any(|line| READS_FILES.iter().any(|word| line.contains(word)))
    }

    /// Whether the lock was only ever made for other systems, so that Bundler refuses it on Linux.
    pub fn lacks_linux(&self) -> bool {
        let lock = self.lock.as_deref().unwrap_or_default();
        let mut platforms = lock.lines().skip_while(|line| line.trim() != "PLATFORMS").skip(1);
        let listed: Vec<&str> = platforms.by_ref().map_while(|line| line.strip_prefix("  ")).collect();
        !listed.is_empty() && !listed.iter().any(|platform| platform.trim() == "ruby" || platform.contains("linux"))
    }

    /// The version that Bundler insists on: one release, not a range.
    fn exact(&self) -> Option<&str> {
        let named = RUBY_LINE.first(&self.gemfile).and_then(|text| EXACT.first(text));
        let locked =
            || self.lock.as_deref().and_then(|lock| RUBY_LOCKED.first(lock)).and_then(|text| EXACT.first(text));
        // A Gemfile that reads the version from a file insists on what stands there, as the lock repeats.
        named.or_else(|| locked().filter(|_| self.gemfile.lines().any(|line| line.starts_with("ruby "))))
    }
}

/// The image's tag and what is told about it.
pub struct Version {
    pub tag: String,
    pub reason: String,
    pub warnings: Vec<String>,
}

/// Bundler compares an exact version with the running one, so the image then has that very release.
pub fn choose(look: &Look<'_>, bundle: &Bundle) -> Result<Version, Conflict> {
    let mut demands = Demands::default();
    for hint in look.hints.versions_of(&["ruby"]) {
        let list = if hint.binding { &mut demands.own } else { &mut demands.elsewhere };
        list.extend(Demand::read(&RUBY, range, &hint.text, &hint.from));
    }
    let named = RUBY_LINE.first(&bundle.gemfile).and_then(|text| Demand::read(&RUBY, range, text, "Gemfile"));
    let locked = bundle.lock.as_deref().and_then(|lock| RUBY_LOCKED.first(lock));
    let locked = locked.and_then(|text| Demand::read(&RUBY, range, text, "Gemfile.lock"));
    demands.own.extend(named);
    demands.elsewhere.extend(locked);
    let Choice { series, reason, mut warnings } = versions::choose(&RUBY, &demands)?;
    let Some(exact) = bundle.exact() else { return Ok(Version { tag: series.name.to_owned(), reason, warnings }) };
    if Demand::read(&RUBY, range, exact, "").is_some_and(|demand| demand.allowed.is_empty()) {
        warnings = vec![format!("ruby {exact} gets no security fixes any more; move to a newer one")];
    }
    Ok(Version { tag: exact.to_owned(), reason: format!("ruby {exact}: Bundler insists on that release"), warnings })
}

/// RubyGems' ranges, and `3.4` for every release of that series.
fn range(text: &str, series: &Series) -> Option<bool> {
    let text = text.trim().trim_start_matches("ruby-");
    let text = text.split('p').next().unwrap_or(text);
    versions::ruby(text, series)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::RelPath, generate::recipe::Wishes};

    fn chosen(files: &[(&str, &str)]) -> String {
        let tree = SourceTree::in_memory(files.iter().copied());
        let wishes = Wishes::default();
        let look = Look::new(&tree, &RelPath::root(), &wishes);
        let bundle = Bundle::read(&tree).expect("Gemfile");
        choose(&look, &bundle).map_or_else(|c| c.demands.join(" | "), |v| format!("{} {}", v.tag, v.warnings.len()))
    }

    #[test]
    fn versions_of_ruby() {
        assert_eq!(chosen(&[("Gemfile", "")]), "3.4 0");
        assert_eq!(chosen(&[("Gemfile", "ruby \"~> 3.3.0\"")]), "3.3 0");
        assert_eq!(chosen(&[("Gemfile", "ruby '3.4.9'")]), "3.4.9 0");
        assert_eq!(chosen(&[("Gemfile", "ruby '2.6.10'")]), "2.6.10 1");
        let file = ("Gemfile", "ruby file: \".ruby-version\"");
        assert_eq!(
            chosen(&[file, (".ruby-version", "ruby-3.3.6\n"), ("Gemfile.lock", "RUBY VERSION\n   ruby 3.3.6p108\n")]),
            "3.3.6 0"
        );
        assert_eq!(chosen(&[("Gemfile", ""), (".ruby-version", "3.3.6")]), "3.3 0");
        assert!(chosen(&[("Gemfile", "ruby '3.4.9'"), (".ruby-version", "3.3.6")]).contains(" | "));
        assert_eq!(chosen(&[("Gemfile", "ruby '3.4.9; id'")]), "3.4 0");
    }

    #[test]
    fn gems_and_platforms() {
        let lock = "GEM\n  specs:\n    rack (3.1.0)\n    puma (6.0)\n      nio4r (~> 2.0)\n\nPLATFORMS\n  arm64-darwin-23\n\nDEPENDENCIES\n  puma\n";
        let tree = SourceTree::in_memory([
            ("Gemfile", "gem 'sinatra'\n# gem 'rails'\n  gem \"pg\", '~> 1'"),
            ("Gemfile.lock", lock),
        ]);
        let bundle = Bundle::read(&tree).expect("Gemfile");
        assert!(
            bundle.has_any(&["puma"])
                && bundle.has("pg")
                && bundle.has("sinatra")
                && !bundle.has("rails")
                && !bundle.has("nio4r")
        );
        assert!(bundle.lacks_linux() && !bundle.reads_files());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(gemfile in "\\PC{0,40}|(ruby |gem |'|\"|\n|3.4|~> ){0,12}", lock in "\\PC{0,40}|(PLATFORMS|\n|  |RUBY VERSION|ruby |3.4.1){0,12}") {
            if let Some(bundle) = Bundle::read(&SourceTree::in_memory([("Gemfile", gemfile.as_str()), ("Gemfile.lock", lock.as_str())])) {
                let _ = (bundle.lacks_linux(), bundle.exact());
            }
        }
    }
}
