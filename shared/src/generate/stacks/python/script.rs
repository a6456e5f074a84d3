//! Scripts: those that serve HTTP by themselves, apps of Streamlit and Gradio, and programs without HTTP.
//!
//! Invariant: a script that would start a development server is none of them.

use super::{
    app::{App, What},
    pattern,
};
use crate::{domain::RelPath, generate::source::SourceTree};

const ENTRIES: &[&str] = &[
    "main.py",
    "app.py",
    "server.py",
    "web.py",
    "run.py",
    "start.py",
    "index.py",
    "hello.py",
    "wsgi.py",
    "src/main.py",
    "src/app.py",
    "app/main.py",
];
const WORKERS: &[&str] =
    &["bot.py", "worker.py", "main.py", "app.py", "run.py", "start.py", "src/main.py", "src/bot.py", "bot/__main__.py"];
/// What a program that answers HTTP calls.
const SERVES: &[&str] = &[
    "HTTPServer(",
    "TCPServer(",
    "serve_forever(",
    "run_app(",
    ".listen(",
    "uvicorn.run(",
    "make_server(",
    "hypercorn",
    "waitress",
    "cherrypy",
    "bottle",
    "websockets.serve(",
    "ui.run(",
    "pn.serve(",
    "serve(",
];
const STREAMLIT: &[&str] = &[
    "streamlit_app.py",
    "app.py",
    "main.py",
    "Home.py",
    "home.py",
    "src/app.py",
    "src/main.py",
    "app/main.py",
    "app/app.py",
];

pub fn find(tree: &SourceTree, sources: &[&(String, String)]) -> Option<App> {
    streamlit(sources).or_else(|| gradio(sources)).or_else(|| server(tree, sources)).or_else(|| worker(sources))
}

fn app(path: &str, what: What, framework: Option<&'static str>) -> App {
    App { what, framework, place: path.to_owned(), root: RelPath::root() }
}

fn imports(text: &str, module: &str) -> bool {
    text.lines().filter_map(|line| line.strip_prefix("import ").or_else(|| line.strip_prefix("from "))).any(|rest| {
        let rest = rest.strip_prefix(module).unwrap_or("-");
        rest.is_empty() || rest.starts_with([' ', '.', ','])
    })
}

fn streamlit(sources: &[&(String, String)]) -> Option<App> {
    let is_app = |(path, text): &&&(String, String)| imports(text, "streamlit") && !path.starts_with("pages/");
    let named = STREAMLIT.iter().find_map(|name| sources.iter().filter(is_app).find(|(path, _)| path == name));
    let (path, _) = named.or_else(|| sources.iter().filter(is_app).find(|(path, _)| !path.contains('/')))?;
    Some(app(path, What::Streamlit(path.clone()), Some("streamlit")))
}

fn gradio(sources: &[&(String, String)]) -> Option<App> {
    let (path, _) = sources.iter().find(|(_, text)| imports(text, "gradio") && text.contains(".launch("))?;
    Some(app(path, What::Script { path: path.clone(), port: None }, Some("gradio")))
}

fn server(tree: &SourceTree, sources: &[&(String, String)]) -> Option<App> {
    let serves = |text: &str| SERVES.iter().any(|call| text.contains(call)) && !text.contains("Flask(");
    let at_root = sources.iter().filter(|(path, _)| !path.contains('/')).map(|(path, _)| path.as_str());
    let text = |path: &str| sources.iter().find(|(known, _)| known == path).map(|(_, text)| text.as_str());
    let mut candidates = ENTRIES.iter().copied().chain(at_root).filter(|path| tree.has(path));
    let path = candidates.find(|path| text(path).is_some_and(serves))?;
    let text = text(path)?;
    let standard = ["http.server", "socketserver"].iter().any(|module| imports(text, module));
    let others = [
        ("aiohttp", "aiohttp"),
        ("tornado", "tornado"),
        ("nicegui", "nicegui"),
        ("bottle", "bottle"),
        ("cherrypy", "cherrypy"),
    ];
    let framework = others.iter().find(|(module, _)| imports(text, module)).map(|(_, name)| *name);
    Some(app(
        path,
        What::Script { path: path.to_owned(), port: port(text) },
        framework.or(standard.then_some("http.server")),
    ))
}

/// A program of a manifest, which runs until it is stopped.
fn worker(sources: &[&(String, String)]) -> Option<App> {
    let is_program = |text: &str| {
        text.contains("__main__")
            || text.contains("while True")
            || text.contains(".run(")
            || text.contains("run_polling(")
    };
    let mut named = WORKERS.iter().filter_map(|name| sources.iter().find(|(path, _)| path == name));
    let (path, _) = named.find(|(_, text)| is_program(text) && !text.contains("Flask("))?;
    Some(app(path, What::Worker(path.clone()), None))
}

/// The port that a script names, at best as what it takes when `PORT` is not set.
pub fn port(text: &str) -> Option<u16> {
    let patterns = [
        r#"["']PORT["']\s*,\s*["']?(\d{2,5})\b"#,
        r#"(?:HTTPServer|TCPServer|make_server)\(\s*\(?\s*["'][^"'\n]*["']\s*,\s*(\d{2,5})\b"#,
        r"\.listen\(\s*(\d{2,5})\b",
        r"(?i)\bport\s*(?::\s*int\s*)?=\s*(\d{2,5})\b",
    ];
    let find = |wanted: &&str| pattern(wanted)?.captures(text)?[1].parse().ok();
    patterns.iter().find_map(find).filter(|port| *port > 0)
}

/// Whether a script can only be reached from its own machine.
pub fn is_local_only(text: &str) -> bool {
    let call = r#"(?:HTTPServer|TCPServer|make_server|run_app|listen|uvicorn\.run|serve|launch)\s*\([^\n]*["'](?:127\.0\.0\.1|localhost)["']"#;
    let name = r#"(?im)^\s*(?:host|address|bind|hostname|server_name)\s*=\s*["'](?:127\.0\.0\.1|localhost)["']"#;
    [call, name].iter().any(|wanted| pattern(wanted).is_some_and(|wanted| wanted.is_match(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::scan;

    fn found(files: &[(&str, &str)]) -> String {
        let tree = SourceTree::in_memory(files.iter().copied());
        let sources = scan::sources(&tree, &[".py"]);
        let found = find(&tree, &sources.iter().collect::<Vec<_>>());
        found.map(|app| format!("{:?} {}", app.what, app.framework.unwrap_or("-"))).unwrap_or_else(|| "-".into())
    }

    #[test]
    fn scripts() {
        let web =
            "import http.server\nport = int(os.getenv('PORT', '5000'))\nhttp.server.HTTPServer(('0.0.0.0', port), H)";
        assert_eq!(found(&[("web.py", web)]), "Script { path: \"web.py\", port: Some(5000) } http.server");
        assert_eq!(
            found(&[("server.py", "import socketserver\nPORT = 8080\nTCPServer((\"\", PORT), H)")]),
            "Script { path: \"server.py\", port: Some(8080) } http.server"
        );
        assert_eq!(
            found(&[("main.py", "from aiohttp import web\nweb.run_app(app)")]),
            "Script { path: \"main.py\", port: None } aiohttp"
        );
        assert_eq!(
            found(&[("app.py", "import gradio as gr\ndemo.launch()")]),
            "Script { path: \"app.py\", port: None } gradio"
        );
        assert_eq!(
            found(&[("pages/a.py", "import streamlit as st"), ("Home.py", "import streamlit as st")]),
            "Streamlit(\"Home.py\") streamlit"
        );
        assert_eq!(found(&[("bot.py", "import discord\nclient.run(token)")]), "Worker(\"bot.py\") -");
        assert_eq!(found(&[("main.py", "def main():\n    Flask(__name__).run()")]), "-", "a development server");
        assert_eq!(found(&[("lib.py", "x = 1")]), "-");
    }

    #[test]
    fn where_it_listens() {
        for (text, local) in [
            ("HTTPServer(('localhost', 8000), H)", true),
            ("host = '127.0.0.1'", true),
            ("demo.launch(server_name=\"127.0.0.1\")", true),
            ("HTTPServer(('', 8000), H)", false),
            ("host = os.environ.get('HOST', '127.0.0.1')", false),
        ] {
            assert_eq!(is_local_only(text), local, "{text}");
        }
    }
}
