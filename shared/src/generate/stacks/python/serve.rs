//! The process of the image: which server runs the app, and a start that others can reach.
//!
//! Invariant: a server listens on all addresses of the container, on the plan's port. One that the app does not bring
//! is added in a pinned version. Absent: the number of processes; `WEB_CONCURRENCY` sets that where the app runs.

use super::{
    app::{App, Interface, What},
    deps::Deps,
};
use crate::domain::Port;

/// A server and what it is added as: for Python 3.10 and later, and before that.
struct Added {
    program: &'static str,
    /// The packages that bring it.
    brought_by: &'static [&'static str],
    now: &'static str,
    before: &'static str,
}

const SERVERS: &[Added] = &[
    Added { program: "gunicorn", brought_by: &["gunicorn"], now: "gunicorn==27.0.1", before: "gunicorn==23.0.0" },
    Added {
        program: "uvicorn",
        brought_by: &[
            "uvicorn",
            "uvicorn[standard]",
            "fastapi[standard]",
            "fastapi[all]",
            "fastapi-cli",
            "litestar[standard]",
            "python-fasthtml",
            "gradio",
            "mcp",
        ],
        now: "uvicorn==0.54.0",
        before: "uvicorn==0.33.0",
    },
    Added {
        program: "hypercorn",
        brought_by: &["hypercorn", "quart"],
        now: "hypercorn==0.18.0",
        before: "hypercorn==0.17.3",
    },
];

/// Libraries of the time when `pkg_resources` was everywhere: the name, and the first release that does without.
const WANTS_OLD_SETUPTOOLS: &[(&str, (u32, u32, u32))] = &[("gunicorn", (21, 0, 0)), ("apscheduler", (3, 11, 0))];

/// What has to be installed besides for this start.
pub fn missing(start: &[String], deps: &Deps, minor: u32) -> Vec<&'static str> {
    let names =
        |program: &str| start.iter().any(|word| word == program || word.split_whitespace().any(|part| part == program));
    let absent = SERVERS.iter().filter(|server| names(server.program) && !deps.any(server.brought_by));
    let mut missing: Vec<&str> = absent.map(|server| if minor < 10 { server.before } else { server.now }).collect();
    let old =
        WANTS_OLD_SETUPTOOLS.iter().any(|(name, first)| deps.version(name).is_some_and(|version| version < *first));
    if old && !deps.asked.pins.contains_key("setuptools") {
        missing.push("setuptools==80.10.2");
    }
    missing
}

/// How an app that was found is started.
pub fn start(app: &App, deps: &Deps, port: Option<Port>) -> Vec<String> {
    let words: Vec<&str> = match &app.what {
        What::Object { interface: Interface::Wsgi, name, factory } => {
            let name = if *factory { format!("{name}()") } else { name.clone() };
            return complete(words(&["gunicorn", "--worker-tmp-dir", "/dev/shm", "--threads", "4", &name]), port);
        }
        What::Object { interface: Interface::Asgi, name, factory } => asgi(app, deps, name, *factory),
        What::Streamlit(path) => {
            vec!["streamlit", "run", path, "--server.headless", "true", "--browser.gatherUsageStats", "false"]
        }
        What::Script { path, .. } | What::Worker(path) => vec!["python3", path],
        What::Celery(name) => vec!["celery", "--app", name, "worker", "--loglevel", "info"],
    };
    complete(self::words(&words), port)
}

fn asgi<'a>(app: &App, deps: &Deps, name: &'a str, factory: bool) -> Vec<&'a str> {
    let uvicorn = deps.any(&["uvicorn"]);
    match app.framework {
        Some("sanic") => vec!["sanic", name, "--single-process"],
        Some("quart") if !uvicorn && !factory => vec!["hypercorn", name],
        Some("django") if deps.has("daphne") => vec!["daphne", "--proxy-headers", name],
        _ if deps.has("hypercorn") && !uvicorn && !factory => vec!["hypercorn", name],
        _ if factory => vec!["uvicorn", "--factory", name],
        _ => vec!["uvicorn", name],
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// How a server is told where to listen.
enum Flags {
    /// One flag for both: its names.
    Bind(&'static [&'static str]),
    /// Flags for the address, flags for the port.
    Two(&'static [&'static str], &'static [&'static str]),
}

fn flags(program: &str) -> Option<Flags> {
    Some(match program {
        "gunicorn" | "hypercorn" => Flags::Bind(&["--bind", "-b"]),
        "waitress-serve" => Flags::Bind(&["--listen"]),
        "uvicorn" | "fastapi" | "sanic" | "granian" => Flags::Two(&["--host", "-H"], &["--port", "-p"]),
        "daphne" => Flags::Two(&["-b", "--bind"], &["-p", "--port"]),
        "streamlit" => Flags::Two(&["--server.address"], &["--server.port"]),
        _ => return None,
    })
}

/// The command with an address and a port that others reach, where it names none or only its own machine.
pub fn complete(mut argv: Vec<String>, port: Option<Port>) -> Vec<String> {
    let Some(port) = port else { return argv };
    let at = if argv.get(1).is_some_and(|word| word == "-m") && argv.len() > 2 { 2 } else { 0 };
    let program = argv.get(at).map(|word| word.rsplit('/').next().unwrap_or_default().to_owned()).unwrap_or_default();
    let Some(flags) = flags(&program) else { return argv };
    let own_socket =
        program != "gunicorn" && argv.iter().any(|word| word.starts_with("--uds") || word.starts_with("--fd"));
    if own_socket {
        return argv;
    }
    for word in &mut argv {
        reachable(word);
    }
    match flags {
        Flags::Bind(names) => add(&mut argv, at, names, &format!("0.0.0.0:{port}")),
        Flags::Two(host, number) => {
            add(&mut argv, at, number, &port.to_string());
            add(&mut argv, at, host, "0.0.0.0");
        }
    }
    argv
}

/// `127.0.0.1` and `localhost` in an address are only reached from inside of the container.
fn reachable(word: &mut String) {
    let (flag, value) = word.split_once('=').map_or(("", word.as_str()), |(flag, value)| (flag, value));
    let (host, rest) = value.split_once(':').map_or((value, ""), |(host, rest)| (host, rest));
    let numeric = rest.chars().all(|c| c.is_ascii_digit());
    if ["127.0.0.1", "localhost"].contains(&host) && numeric {
        let rest = if rest.is_empty() { String::new() } else { format!(":{rest}") };
        *word = if flag.is_empty() { format!("0.0.0.0{rest}") } else { format!("{flag}=0.0.0.0{rest}") };
    }
}

/// Adds the flag behind the program, or behind its first command, unless it is there under one of its names.
fn add(argv: &mut Vec<String>, at: usize, names: &[&str], value: &str) {
    let is = |word: &String| {
        names.iter().any(|name| {
            word == name
                || word
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with('=') || name.len() == 2 && !rest.is_empty())
        })
    };
    if argv.iter().skip(at + 1).any(is) {
        return;
    }
    let Some(name) = names.first() else { return };
    // `fastapi run` and `streamlit run` take their flags behind the word.
    let behind = at + 1 + usize::from(argv.get(at + 1).is_some_and(|word| word == "run"));
    argv.splice(behind..behind, [(*name).to_owned(), value.to_owned()]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{command, source::SourceTree, stacks::python::requirements::Asked};

    fn completed(line: &str) -> String {
        let port = Some(Port::saturating(8000));
        complete(command::argv(line, port), port).join(" ")
    }

    fn deps(list: &str) -> Deps {
        Deps { asked: Asked::read(&SourceTree::in_memory([("requirements.txt", list)])), ..Deps::default() }
    }

    #[test]
    fn others_reach_it() {
        for (line, wanted) in [
            ("gunicorn a:b", "gunicorn --bind 0.0.0.0:8000 a:b"),
            ("gunicorn -b localhost:5000 a:b", "gunicorn -b 0.0.0.0:5000 a:b"),
            ("gunicorn --bind=127.0.0.1:$PORT a:b", "gunicorn --bind=0.0.0.0:8000 a:b"),
            ("gunicorn -b0.0.0.0:$PORT a:b", "gunicorn -b0.0.0.0:8000 a:b"),
            ("uvicorn a:b --port ${PORT:-80}", "uvicorn --host 0.0.0.0 a:b --port 8000"),
            ("uvicorn a:b --host 127.0.0.1", "uvicorn --port 8000 a:b --host 0.0.0.0"),
            ("python -m uvicorn a:b", "python -m uvicorn --host 0.0.0.0 --port 8000 a:b"),
            ("fastapi run app.py", "fastapi run --host 0.0.0.0 --port 8000 app.py"),
            ("streamlit run a.py", "streamlit run --server.address 0.0.0.0 --server.port 8000 a.py"),
            ("daphne -p 8000 a:b", "daphne -b 0.0.0.0 -p 8000 a:b"),
            ("hypercorn a:b", "hypercorn --bind 0.0.0.0:8000 a:b"),
            ("python web.py", "python web.py"),
        ] {
            assert_eq!(completed(line), wanted);
        }
    }

    #[test]
    fn servers_that_are_missing() {
        let start = words(&["uvicorn", "a:b"]);
        assert_eq!(missing(&start, &deps("starlette"), 13), ["uvicorn==0.54.0"]);
        assert_eq!(missing(&start, &deps("starlette"), 9), ["uvicorn==0.33.0"]);
        assert!(missing(&start, &deps("fastapi[standard]"), 13).is_empty());
        assert_eq!(
            missing(&words(&["sh", "-c", "exec env A=1 gunicorn a:b"]), &deps("flask"), 13),
            ["gunicorn==27.0.1"]
        );
        assert_eq!(missing(&words(&["gunicorn", "a:b"]), &deps("gunicorn==20.1.0"), 13), ["setuptools==80.10.2"]);
        assert!(missing(&words(&["python3", "x.py"]), &deps(""), 13).is_empty());
    }
}
