//! Lines of files for other platforms, as starts of an image of ours.
//!
//! Invariant: a development server is refused, and what runs once before a release is taken out of a start. A line
//! whose program is not in the image is no start. Absent: the address to listen on (see [`super::serve`]).

use super::{deps::Deps, serve};
use crate::{
    domain::Port,
    generate::{command, dev_server::is_dev_server, hints::Hint, look::Look, source::SourceTree},
};

/// A start that a file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hinted {
    pub line: String,
    pub place: String,
    /// Steps that stood in front of it.
    pub once: Vec<Vec<String>>,
}

/// Programs of Python's world, whether or not they are listed.
const PROGRAMS: &[&str] = &[
    "python",
    "python3",
    "gunicorn",
    "uvicorn",
    "hypercorn",
    "daphne",
    "waitress-serve",
    "uwsgi",
    "streamlit",
    "sanic",
    "fastapi",
    "celery",
    "rq",
    "arq",
    "dramatiq",
    "granian",
    "litestar",
    "chainlit",
];
/// Programs that only start another one.
const RUNNERS: &[&[&str]] = &[&["poetry", "run"], &["pipenv", "run"], &["pdm", "run"], &["uv", "run"], &["exec"]];
const ONCE: &[&str] = &[
    "manage.py migrate",
    "manage.py collectstatic",
    "manage.py compilemessages",
    "alembic upgrade",
    "db upgrade",
    "aerich upgrade",
    "manage.py createcachetable",
];
/// What the build does already.
const BUILT: &[&str] = &["collectstatic", "pip install", "compilemessages"];

/// The first line for HTTP that can be a start.
pub fn web(look: &Look<'_>) -> Option<Hinted> {
    look.hints.web.iter().find_map(|hint| read(&look.here, hint))
}

pub fn worker(look: &Look<'_>) -> Option<Hinted> {
    look.hints.worker.iter().find_map(|hint| read(&look.here, hint))
}

/// What runs once before a release, as the files name it.
pub fn release(look: &Look<'_>) -> Option<Vec<String>> {
    let hint = look
        .hints
        .release
        .iter()
        .find(|hint| !BUILT.iter().any(|built| hint.text.contains(built)) || hint.text.contains("migrate"))?;
    Some(command::argv(&without_runner(without_comment(&hint.text)), None))
}

fn read(tree: &SourceTree, hint: &Hint) -> Option<Hinted> {
    let line = without_comment(&hint.text);
    let parts: Vec<&str> =
        if line.contains(['"', '\'']) { vec![line] } else { line.split("&&").map(str::trim).collect() };
    let (once, rest): (Vec<&str>, Vec<&str>) = parts
        .into_iter()
        .partition(|part| ONCE.iter().any(|step| part.contains(step)) || part.starts_with("pip install"));
    let line = rest.iter().map(|part| without_runner(part)).collect::<Vec<_>>().join(" && ");
    let kept = once.into_iter().filter(|step| !BUILT.iter().any(|built| step.contains(built)));
    let once = kept.map(|step| command::argv(&without_runner(step), None)).collect();
    if line.is_empty() || is_dev_server(&line, tree) || line.contains("runserver") || line.contains("flask run") {
        return None;
    }
    is_of_python(tree, &line).then(|| Hinted { line, place: hint.from.clone(), once })
}

fn without_comment(line: &str) -> &str {
    if line.contains(['"', '\'']) { line.trim() } else { line.split(" #").next().unwrap_or_default().trim() }
}

/// `poetry run x` as `x`; the environment of the app is in the image's PATH.
fn without_runner(line: &str) -> String {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    for runner in RUNNERS {
        if words.starts_with(runner) {
            words.drain(..runner.len());
            while words.first().is_some_and(|word| word.starts_with("--")) {
                words.remove(0);
            }
            return words.join(" ");
        }
    }
    line.trim().to_owned()
}

/// Whether the image can have what the line starts.
fn is_of_python(tree: &SourceTree, line: &str) -> bool {
    let last = line.rsplit("&&").next().unwrap_or_default();
    let mut words = last.split_whitespace().skip_while(|word| command::is_assignment(word) || *word == "env");
    let program = words.next().unwrap_or_default();
    match program {
        "python" | "python3" => {
            let script = words.find(|word| !["-u", "-O", "-B"].contains(word)).unwrap_or_default();
            script.starts_with('-') || tree.has(script)
        }
        _ => PROGRAMS.contains(&program),
    }
}

impl Hinted {
    /// Whether an app's own script is needed to be sure that this is Python: another language may have the program.
    pub fn argv(&self, port: Option<Port>) -> Vec<String> {
        serve::complete(command::argv(&self.line, port), port)
    }

    /// The framework that the program tells.
    pub fn framework(&self, deps: &Deps) -> Option<&'static str> {
        const NAMES: &[&str] = &[
            "django",
            "flask",
            "fastapi",
            "starlette",
            "quart",
            "sanic",
            "litestar",
            "streamlit",
            "gradio",
            "dash",
            "bottle",
            "falcon",
            "aiohttp",
            "tornado",
            "celery",
        ];
        NAMES.iter().copied().find(|name| deps.asks_any(&[name]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::RelPath, generate::recipe::Wishes};

    fn started(procfile: &str) -> String {
        let tree = SourceTree::in_memory([("Procfile", procfile), ("web.py", ""), ("manage.py", "django")]);
        let wishes = Wishes::default();
        let look = Look::new(&tree, &RelPath::root(), &wishes);
        let Some(found) = web(&look) else { return "-".into() };
        let once: Vec<String> = found.once.iter().map(|step| step.join(" ")).collect();
        format!("{} [{}]", found.argv(Some(Port::saturating(8000))).join("|"), once.join("; "))
    }

    #[test]
    fn lines_of_other_platforms() {
        assert_eq!(started("web: gunicorn a:b"), "gunicorn|--bind|0.0.0.0:8000|a:b []");
        assert_eq!(started("web: python3 -u web.py first # comment"), "python3|-u|web.py|first []");
        assert_eq!(started("web: poetry run uvicorn a:b --port $PORT"), "uvicorn|--host|0.0.0.0|a:b|--port|8000 []");
        assert_eq!(started("web: uv run --no-dev python web.py"), "python|web.py []");
        assert_eq!(
            started("web: python manage.py migrate && python manage.py collectstatic --noinput && gunicorn a.wsgi"),
            "gunicorn|--bind|0.0.0.0:8000|a.wsgi [python manage.py migrate]"
        );
        assert_eq!(started("web: A=1 gunicorn a:b"), "sh|-c|exec env A=1 gunicorn a:b []");
        for no in [
            "flask run --host 0.0.0.0",
            "python manage.py runserver",
            "python -m flask run",
            "node x.js",
            "python absent.py",
            "uvicorn a:b --reload",
            "",
        ] {
            assert_eq!(started(&format!("web: {no}")), "-", "{no}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_read(line in "\\PC{0,60}|[a-z &#'=-]{0,60}") { started(&format!("web: {line}")); started(&format!("web: uv run {line}")); }
    }
}
