//! Libraries of Debian that packages of Python need: to be compiled, and to run.
//!
//! Absent: what wheels bring with them.

use super::deps::Deps;

/// Any of the names, the packages to compile it, and those to run it.
type Rule = (&'static [&'static str], &'static [&'static str], &'static [&'static str]);

/// What compiles C.
const COMPILER: &[&str] = &["gcc", "g++", "libc6-dev", "make", "pkg-config"];

const RULES: &[Rule] = &[
    (&["psycopg2"], &["gcc", "libc6-dev", "libpq-dev"], &["libpq5"]),
    (&["psycopg[c]"], &["gcc", "libc6-dev", "libpq-dev"], &["libpq5"]),
    (
        &["mysqlclient"],
        &["gcc", "libc6-dev", "pkg-config", "libmariadb-dev", "libmariadb-dev-compat"],
        &["libmariadb3"],
    ),
    (&["mariadb"], &["gcc", "libc6-dev", "libmariadb-dev"], &["libmariadb3"]),
    (&["uwsgi"], &["gcc", "libc6-dev"], &[]),
    (&["weasyprint"], &[], &["libpango-1.0-0", "libpangoft2-1.0-0", "libharfbuzz-subset0", "fonts-dejavu-core"]),
    (&["cairosvg", "cairocffi"], &[], &["libcairo2"]),
    (&["pycairo"], &["gcc", "libc6-dev", "pkg-config", "libcairo2-dev"], &["libcairo2"]),
    (&["opencv-python", "opencv-contrib-python"], &[], &["libgl1", "libglib2.0-0"]),
    (&["opencv-python-headless"], &[], &["libglib2.0-0"]),
    (&["python-magic"], &[], &["libmagic1"]),
    (&["pdf2image"], &[], &["poppler-utils"]),
    (&["pytesseract"], &[], &["tesseract-ocr"]),
    (&["pydub", "ffmpeg-python", "openai-whisper", "yt-dlp"], &[], &["ffmpeg"]),
    (&["graphviz", "pydot"], &[], &["graphviz"]),
    (&["pyodbc"], &[], &["unixodbc"]),
    (&["pyzbar"], &[], &["libzbar0"]),
    (&["python-ldap"], &["gcc", "libc6-dev", "libldap2-dev", "libsasl2-dev"], &["libldap-common"]),
];
const GEO: &[&str] = &["gdal-bin", "libproj-dev"];

/// The packages of the stage and of the image that runs.
pub fn packages(deps: &Deps, compiles: bool, geographic: bool) -> (Vec<&'static str>, Vec<&'static str>) {
    let (mut build, mut run) = (Vec::new(), Vec::new());
    for (_, to_build, to_run) in RULES.iter().filter(|(names, ..)| deps.any(names)) {
        build.extend_from_slice(to_build);
        run.extend_from_slice(to_run);
    }
    // The pure variant of Psycopg finds the library of the system.
    if deps.asked.names.contains("psycopg") && !deps.any(&["psycopg[binary]", "psycopg-binary", "psycopg[c]"]) {
        run.push("libpq5");
    }
    if compiles {
        build.extend_from_slice(COMPILER);
    }
    if deps.asked.git || deps.lock.unhashed {
        build.push("git");
    }
    if geographic {
        build.extend_from_slice(GEO);
        run.extend_from_slice(GEO);
    }
    // A library that only its own stage has is not found by what is collected there.
    build.extend_from_slice(&run);
    for list in [&mut build, &mut run] {
        list.sort_unstable();
        list.dedup();
    }
    (build, run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{source::SourceTree, stacks::python::requirements::Asked};

    #[test]
    fn libraries() {
        let found = |list: &str, compiles| {
            let asked = Asked::read(&SourceTree::in_memory([("requirements.txt", list)]));
            let (build, run) = packages(&Deps { asked, ..Deps::default() }, compiles, false);
            format!("{} / {}", build.join(" "), run.join(" "))
        };
        assert_eq!(found("psycopg2==2.9\nflask", false), "gcc libc6-dev libpq-dev libpq5 / libpq5");
        assert_eq!(found("psycopg2-binary", false), " / ");
        assert_eq!(found("psycopg[binary]", false), " / ");
        assert_eq!(found("psycopg", false), "libpq5 / libpq5");
        assert_eq!(found("x @ git+https://a.example/x", true), "g++ gcc git libc6-dev make pkg-config / ");
    }
}
