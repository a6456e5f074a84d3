//! The series of each runtime that images exist of, dated.
//!
//! Each language's list is in the order of preference: the first one is the usual choice, which is not always the newest,
//! since packages with compiled parts follow a new series months later. Sources: nodejs/Release, peps.python.org (602
//! and the release schedules), go.dev/doc/devel/release, endoflife.date; looked at in the month of [`AS_OF`].
//! Absent: patch releases.

/// A year and a month of it.
pub type Month = (u16, u8);

/// When this table was last compared with its sources.
pub const AS_OF: Month = (2026, 11);

/// All of the table.
pub static LANGUAGES: [&Language; 12] =
    [&NODE, &PYTHON, &GO, &JAVA, &RUBY, &PHP, &ELIXIR, &DOTNET, &DENO, &BUN, &DART, &FLUTTER];

/// A version as its three numbers.
pub type Numbers = (u32, u32, u32);

/// One series of a runtime, such as Node 24 or Python 3.13.
#[derive(Debug, PartialEq, Eq)]
pub struct Series {
    pub name: &'static str,
    /// The first release of the series, and the first one after it.
    pub bounds: (Numbers, Numbers),
    /// The last month with security fixes; nothing when no end is announced.
    pub end: Option<Month>,
}

impl Series {
    /// Whether the series gets no security fixes in the month.
    pub fn is_over(&self, month: Month) -> bool {
        self.end.is_some_and(|end| end < month)
    }
}

/// A runtime and its series, the preferred one first.
#[derive(Debug, PartialEq, Eq)]
pub struct Language {
    /// As in the name of its tools: `node`.
    pub name: &'static str,
    pub series: &'static [Series],
}

/// A series that is a major version.
const fn major(name: &'static str, number: u32, end: Option<Month>) -> Series {
    Series { name, bounds: ((number, 0, 0), (number + 1, 0, 0)), end }
}

/// A series that is a minor version.
const fn minor(name: &'static str, major: u32, minor: u32, end: Option<Month>) -> Series {
    Series { name, bounds: ((major, minor, 0), (major, minor + 1, 0)), end }
}

pub static NODE: Language = Language {
    name: "node",
    series: &[
        major("24", 24, Some((2028, 4))),
        major("22", 22, Some((2027, 4))),
        major("26", 26, Some((2029, 4))),
        major("20", 20, Some((2026, 4))),
        major("18", 18, Some((2025, 4))),
        major("16", 16, Some((2023, 9))),
    ],
};

pub static PYTHON: Language = Language {
    name: "python",
    series: &[
        minor("3.13", 3, 13, Some((2029, 10))),
        minor("3.14", 3, 14, Some((2030, 10))),
        minor("3.12", 3, 12, Some((2028, 10))),
        minor("3.11", 3, 11, Some((2027, 10))),
        minor("3.10", 3, 10, Some((2026, 10))),
        minor("3.9", 3, 9, Some((2025, 10))),
        minor("3.8", 3, 8, Some((2024, 10))),
    ],
};

/// A newer Go builds what an older one does, so only the supported ones are here.
pub static GO: Language =
    Language { name: "go", series: &[minor("1.26", 1, 26, Some((2027, 2))), minor("1.27", 1, 27, Some((2027, 8)))] };

pub static JAVA: Language = Language {
    name: "java",
    series: &[
        major("21", 21, Some((2029, 12))),
        major("25", 25, Some((2031, 9))),
        major("17", 17, Some((2027, 10))),
        major("11", 11, Some((2027, 10))),
        major("8", 8, Some((2030, 12))),
    ],
};

pub static RUBY: Language = Language {
    name: "ruby",
    series: &[
        minor("3.4", 3, 4, Some((2028, 3))),
        minor("4.0", 4, 0, Some((2029, 3))),
        minor("3.3", 3, 3, Some((2027, 3))),
        minor("3.2", 3, 2, Some((2026, 3))),
        minor("3.1", 3, 1, Some((2025, 3))),
    ],
};

pub static PHP: Language = Language {
    name: "php",
    series: &[
        minor("8.4", 8, 4, Some((2028, 12))),
        minor("8.5", 8, 5, Some((2029, 12))),
        minor("8.3", 8, 3, Some((2027, 12))),
        minor("8.2", 8, 2, Some((2026, 12))),
        minor("8.1", 8, 1, Some((2025, 12))),
    ],
};

pub static ELIXIR: Language = Language {
    name: "elixir",
    series: &[
        minor("1.18", 1, 18, None),
        minor("1.19", 1, 19, None),
        minor("1.17", 1, 17, None),
        minor("1.16", 1, 16, None),
    ],
};

pub static DOTNET: Language = Language {
    name: "dotnet",
    series: &[
        major("10.0", 10, Some((2028, 11))),
        major("8.0", 8, Some((2026, 11))),
        major("9.0", 9, Some((2026, 11))),
        major("6.0", 6, Some((2024, 11))),
    ],
};

pub static DENO: Language = Language { name: "deno", series: &[major("2", 2, None), major("1", 1, Some((2024, 10)))] };

pub static BUN: Language = Language { name: "bun", series: &[major("1", 1, None)] };

pub static DART: Language = Language {
    name: "dart",
    series: &[
        minor("3.10", 3, 10, None),
        minor("3.9", 3, 9, None),
        minor("3.8", 3, 8, None),
        minor("3.7", 3, 7, None),
        minor("3.6", 3, 6, None),
        minor("3.5", 3, 5, None),
        minor("2.19", 2, 19, None),
    ],
};

pub static FLUTTER: Language = Language {
    name: "flutter",
    series: &[
        minor("3.38", 3, 38, None),
        minor("3.35", 3, 35, None),
        minor("3.32", 3, 32, None),
        minor("3.29", 3, 29, None),
        minor("3.27", 3, 27, None),
        minor("3.24", 3, 24, None),
        minor("3.22", 3, 22, None),
        minor("3.19", 3, 19, None),
        minor("3.16", 3, 16, None),
        minor("3.13", 3, 13, None),
        minor("3.10", 3, 10, None),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    /// A default that is over is a mistake of the table at the time that it was made. What is over now is said by
    /// `byop-generate --check-versions`, which has a clock.
    #[test]
    fn usual_choices_are_supported() {
        for language in LANGUAGES {
            assert!(!language.series[0].is_over(AS_OF), "{}", language.name);
            let mut names: Vec<_> = language.series.iter().map(|series| series.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), language.series.len(), "{}", language.name);
        }
    }
}
