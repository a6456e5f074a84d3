use super::*;

fn demand(text: &str) -> Demand {
    Demand::read(&NODE, npm, text, "package.json").expect(text)
}

fn chosen(own: &[&str], locked: &[&str], elsewhere: &[&str]) -> String {
    let read = |texts: &[&str]| texts.iter().map(|text| demand(text)).collect();
    match choose(&NODE, &Demands { own: read(own), locked: read(locked), elsewhere: read(elsewhere) }) {
        Ok(choice) => format!("{} {}", choice.series.name, choice.warnings.len()),
        Err(conflict) => conflict.demands.join(" | "),
    }
}

#[test]
fn the_usual_one_unless_somebody_asks() {
    assert_eq!(chosen(&[], &[], &[]), "24 0");
    assert_eq!(chosen(&[">=16.14"], &[], &[]), "24 0");
    assert_eq!(chosen(&["22.x"], &[], &[]), "22 0");
    assert_eq!(chosen(&["^18 || ^20"], &[], &[]), "20 1");
    assert_eq!(chosen(&[], &[], &["22"]), "22 0");
    assert_eq!(chosen(&[], &[], &["20"]), "24 0", "what is over elsewhere is no reason");
}

#[test]
fn locked_packages_count() {
    assert_eq!(chosen(&[">=16.14"], &[">=18", "^18 || ^20"], &[]), "20 1");
    assert_eq!(chosen(&["<20"], &[">=20"], &[]), "\"<20\" in package.json | \">=20\" in package.json");
    assert_eq!(chosen(&[">=18"], &["<0.12"], &[]), "24 0", "a lock entry that nothing meets is no reason");
}

#[test]
fn what_nothing_meets_is_said() {
    assert_eq!(chosen(&["4.2.x"], &[], &[]), "24 1");
    assert_eq!(Demand::read(&NODE, npm, "no range at all!", "x"), None);
}

#[test]
fn grammars() {
    let series = |language: &'static Language, name: &str| {
        language.series.iter().find(|series| series.name == name).expect("series")
    };
    let python = |text: &str, name: &str| pep440(text, series(&PYTHON, name));
    assert_eq!(python(">=3.8,<3.13", "3.12"), Some(true));
    assert_eq!(python(">=3.8,<3.13", "3.13"), Some(false));
    assert_eq!(python("^3.10", "3.13"), Some(true));
    assert_eq!(python("~3.11", "3.12"), Some(false));
    assert_eq!(python("==3.12.4", "3.12"), Some(true));
    assert_eq!(python("3.12", "3.12"), Some(true));
    assert_eq!(python("3.12.1", "3.13"), Some(false));
    assert_eq!(python(">=3.12.5", "3.12"), Some(true));
    assert_eq!(python("==3.*", "3.13"), Some(true));
    assert_eq!(python("3", "3.13"), Some(true));
    assert_eq!(python("pypy", "3.13"), None);
    assert_eq!(ruby("~> 3.2", series(&RUBY, "3.4")), Some(true));
    assert_eq!(ruby("~> 3.2.1", series(&RUBY, "3.4")), Some(false));
    assert_eq!(ruby(">= 3.0, < 3.3", series(&RUBY, "3.2")), Some(true));
    assert_eq!(npm("^8.1", series(&PHP, "8.4")), Some(true));
    assert_eq!(rust("1.22", series(&GO, "1.26")), Some(true));
    assert_eq!(rust("1.27.1", series(&GO, "1.26")), Some(false));
}

proptest::proptest! {
    #[test]
    fn any_text_is_read(text in "\\PC{0,40}|[0-9.<>=^~|*x, -]{0,40}") {
        for reader in [npm, pep440, ruby, rust] {
            for series in NODE.series.iter().chain(PYTHON.series) {
                reader(&text, series);
            }
        }
    }
}
