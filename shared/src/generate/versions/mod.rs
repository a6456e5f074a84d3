//! Which series of a runtime an app gets: what its own files demand, cut with what its locked packages demand, then the
//! best one of a dated table.
//!
//! Invariant: nothing is dropped in silence. A demand that no known series meets is a warning, two that contradict each
//! other are a conflict that names both. Absent: patch releases; an image of a series has its newest one, since those
//! carry the security fixes.

mod life;
mod range;
mod table;

use std::collections::BTreeSet;

pub use life::{Overview, month_of, over, overview};
pub use range::{npm, pep440, ruby, rust};
pub use table::{
    AS_OF, BUN, DART, DENO, DOTNET, ELIXIR, FLUTTER, GO, JAVA, Language, Month, NODE, PHP, PYTHON, RUBY, Series,
};

/// A demand on the version of a runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// As written, such as `>=18 <23`.
    pub text: String,
    /// Where it is written, such as `package.json (engines.node)`.
    pub from: String,
    /// The series of the table that meet it.
    pub allowed: BTreeSet<&'static str>,
}

/// Reads a demand: whether a series meets it, or nothing when the text is no range.
pub type Reader = fn(&str, &Series) -> Option<bool>;

impl Demand {
    /// Nothing when the text cannot be read as a range.
    pub fn read(language: &Language, reader: Reader, text: &str, from: impl Into<String>) -> Option<Self> {
        let text = text.trim();
        let met: Option<Vec<(&'static str, bool)>> =
            language.series.iter().map(|series| Some((series.name, reader(text, series)?))).collect();
        let allowed = met?.into_iter().filter(|(_, ok)| *ok).map(|(name, _)| name).collect();
        Some(Self { text: text.chars().take(100).collect(), from: from.into(), allowed })
    }

    fn shown(&self) -> String {
        format!("{:?} in {}", self.text, self.from)
    }
}

/// What an app says about a runtime's version.
#[derive(Clone, Debug, Default)]
pub struct Demands {
    /// Of the app's own manifests; each must be met.
    pub own: Vec<Demand>,
    /// Of its locked packages.
    pub locked: Vec<Demand>,
    /// Of files that show what the app runs with elsewhere: taken when the others allow it.
    pub elsewhere: Vec<Demand>,
}

/// The series that was chosen and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub series: &'static Series,
    pub reason: String,
    pub warnings: Vec<String>,
}

/// Demands that no series meets together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub language: &'static str,
    pub demands: Vec<String>,
}

/// Chooses: own ∩ locked, then the table's order; a series in use elsewhere comes first while it is supported.
pub fn choose(language: &'static Language, demands: &Demands) -> Result<Choice, Conflict> {
    let mut warnings = Vec::new();
    let known = |demand: &&Demand| !demand.allowed.is_empty();
    let unknown = demands.own.iter().filter(|d| !known(d));
    warnings.extend(unknown.map(|d| format!("no known {} meets {}; the usual one is taken", language.name, d.shown())));
    let own: Vec<&Demand> = demands.own.iter().filter(known).collect();
    let locked: Vec<&Demand> = demands.locked.iter().filter(known).collect();
    let allowed = intersection(language, own.iter().chain(&locked).copied());
    if allowed.is_empty() {
        return Err(conflict(language, &own, &locked));
    }
    let best = language.series.iter().find(|series| allowed.contains(series.name));
    let series = in_use_elsewhere(language, demands, &allowed).or(best);
    let series = series.ok_or_else(|| conflict(language, &own, &locked))?;
    warnings.extend(life::warning(language, series, AS_OF));
    let reasons: Vec<String> = own.iter().map(|d| d.shown()).chain(narrowing(language, &locked)).collect();
    let reason = match reasons.is_empty() {
        true => format!("{} {}: the usual one, nothing asks for another", language.name, series.name),
        false => format!("{} {}: {}", language.name, series.name, reasons.join("; ")),
    };
    Ok(Choice { series, reason, warnings })
}

fn intersection<'a>(language: &Language, demands: impl Iterator<Item = &'a Demand>) -> BTreeSet<&'static str> {
    let all = language.series.iter().map(|series| series.name).collect();
    demands.fold(all, |set: BTreeSet<_>, demand| set.intersection(&demand.allowed).copied().collect())
}

fn in_use_elsewhere(
    language: &'static Language,
    demands: &Demands,
    allowed: &BTreeSet<&'static str>,
) -> Option<&'static Series> {
    let fits = |series: &&Series, demand: &Demand| {
        demand.allowed.contains(series.name) && allowed.contains(series.name) && !series.is_over(AS_OF)
    };
    demands.elsewhere.iter().find_map(|demand| language.series.iter().find(|series| fits(series, demand)))
}

/// Those of the locked packages that exclude a supported series.
fn narrowing(language: &Language, locked: &[&Demand]) -> Option<String> {
    let supported: Vec<_> = language.series.iter().filter(|series| !series.is_over(AS_OF)).collect();
    let narrow = |demand: &&&Demand| supported.iter().any(|series| !demand.allowed.contains(series.name));
    let first: Vec<String> = locked.iter().filter(narrow).take(2).map(|demand| demand.shown()).collect();
    (!first.is_empty()).then(|| first.join("; "))
}

/// The smallest telling set: the own demands among themselves, else with the first locked one that empties it.
fn conflict(language: &Language, own: &[&Demand], locked: &[&Demand]) -> Conflict {
    let mut named: Vec<&Demand> = Vec::new();
    let mut left = intersection(language, std::iter::empty());
    for demand in own.iter().chain(locked) {
        let smaller: BTreeSet<_> = left.intersection(&demand.allowed).copied().collect();
        if smaller.len() < left.len() {
            named.push(demand);
        }
        left = smaller;
        if left.is_empty() {
            break;
        }
    }
    Conflict { language: language.name, demands: named.into_iter().map(Demand::shown).collect() }
}

#[cfg(test)]
mod tests;
