//! A line of another platform that starts a compiled program, such as `PORT=$PORT bin/server -v`.
//!
//! Invariant: what comes out is the name of a program, values of variables and an argument vector; a line that needs a
//! shell is passed over, since the image has one program and not what else such a line may start.

use crate::{
    domain::{EnvName, Port},
    generate::{command, hints::Hint, look::Look},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The last part of the program's path.
    pub name: String,
    /// Whether the program was named by a path.
    pub by_path: bool,
    pub env: Vec<(EnvName, String)>,
    pub arguments: Vec<String>,
    pub from: String,
}

/// All lines that start the app: those of its process behind HTTP, else those of a worker.
pub fn lines(look: &Look<'_>) -> Vec<Line> {
    let hinted = || look.hints.port.iter().find_map(|hint| hint.text.parse().ok());
    let port = look.wishes.port.or_else(hinted).unwrap_or(Port::saturating(8080));
    let list = if look.hints.web.is_empty() { &look.hints.worker } else { &look.hints.web };
    list.iter().filter_map(|hint| line(hint, port)).collect()
}

pub fn line(hint: &Hint, port: Port) -> Option<Line> {
    let mut text = hint.text.trim();
    let mut env = Vec::new();
    // Variables in front of a command are the shell's; here they become those of the image.
    while let Some(word) = text.split_whitespace().next().filter(|word| command::is_assignment(word)) {
        let (name, value) = word.split_once('=')?;
        let value = command::argv(value, Some(port));
        if let (Ok(name), [value]) = (name.parse(), value.as_slice()) {
            env.push((name, value.clone()));
        }
        text = text[word.len()..].trim_start();
    }
    let mut argv = command::argv(text, Some(port)).into_iter();
    let mut first = argv.next()?;
    let mut arguments: Vec<String> = argv.collect();
    if first == "exec" && !arguments.is_empty() {
        first = arguments.remove(0);
    }
    if first == "cargo" {
        (first, arguments) = cargo(&arguments)?;
    }
    let name = first.rsplit('/').next().unwrap_or_default().to_owned();
    let others = ["sh", "bash", "go", "air", "cargo", "make", "docker"].contains(&name.as_str());
    (!others).then(|| Line { by_path: first.contains('/'), name, env, arguments, from: hint.from.clone() })
}

/// `cargo run --release --bin server -- --port 80`.
fn cargo(words: &[String]) -> Option<(String, Vec<String>)> {
    let own: Vec<&String> = words.iter().take_while(|word| *word != "--").collect();
    let at = own.iter().position(|word| ["--bin", "-p", "--package"].contains(&word.as_str()))?;
    let name = own.get(at + 1)?;
    (words.first()? == "run").then(|| ((*name).clone(), words.iter().skip(own.len() + 1).cloned().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let Some(line) = line(&Hint::new(text, "Procfile:1"), Port::saturating(8000)) else { return "-".into() };
        let env: String = line.env.iter().map(|(name, value)| format!("{}={value} ", name.as_str())).collect();
        format!("{env}{} {}", line.name, line.arguments.join(" "))
    }

    #[test]
    fn lines() {
        assert_eq!(read("bin/server -port $PORT"), "server -port 8000");
        assert_eq!(read("ROCKET_PORT=$PORT A=b ./target/release/web"), "ROCKET_PORT=8000 A=b web ");
        assert_eq!(read("cargo run --release --bin api -- --x 1"), "api --x 1");
        for other in ["cargo run", "bin/migrate && bin/server", "go run .", "", "A=1", "air"] {
            assert_eq!(read(other), "-", "{other}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_read(text in "\\PC{0,40}|[A-Z=$ a-z\"'/-]{0,40}") {
            line(&Hint::new(text, "x"), Port::saturating(1));
        }
    }
}
