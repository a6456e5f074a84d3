//! Command lines that people wrote for a shell, as argument vectors.
//!
//! Invariant: the result is an argument vector, so whatever the text says stays inside of the app's own container. A
//! plain command is started directly, so that signals reach it; only what needs a shell gets one, and that one is
//! replaced by the command where it is a single one. Absent: judging a command (see [`super::dev_server`]).

use crate::domain::Port;

/// What makes a line more than one plain command.
const SHELL: &[char] = &['&', '|', ';', '<', '>', '(', ')', '`', '\n', '*', '?', '~', '#'];

/// The words of a single plain command; nothing for one that needs a shell.
pub fn plain(line: &str) -> Option<Vec<String>> {
    let words = shell_words::split(line).ok().filter(|words| !words.is_empty())?;
    let simple = !bare(line).contains(SHELL) && !line.contains(['$', '`']) && !is_assignment(&words[0]);
    simple.then_some(words)
}

/// The line as an argument vector, with the port where it says `$PORT`.
pub fn argv(line: &str, port: Option<Port>) -> Vec<String> {
    let line = line.trim();
    let line = port.map_or_else(|| line.to_owned(), |port| with_port(line, port));
    if let Some(words) = plain(&line) {
        return words;
    }
    ["sh", "-c"].map(str::to_owned).into_iter().chain([replaced(&line)]).collect()
}

/// `$PORT`, `${PORT}` and `${PORT:-8000}` as the number.
fn with_port(line: &str, port: Port) -> String {
    let number = port.to_string();
    let mut line = line.replace("${PORT}", &number);
    while let Some(start) = line.find("${PORT:-") {
        let Some(end) = line[start..].find('}') else { break };
        line.replace_range(start..=start + end, &number);
    }
    let mut plain = String::new();
    let mut rest = line.as_str();
    while let Some(at) = rest.find("$PORT") {
        let after = &rest[at + 5..];
        let longer = after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        plain.push_str(&rest[..at]);
        plain.push_str(if longer { "$PORT" } else { &number });
        rest = after;
    }
    plain + rest
}

/// The shell gives its place to a single command, so that signals reach that one.
fn replaced(line: &str) -> String {
    let single = !bare(line).contains(['&', '|', ';', '\n', '(']);
    let first = line.split_whitespace().next().unwrap_or_default();
    match single && !["exec", "cd", "export", "source", "."].contains(&first) {
        true if is_assignment(first) => format!("exec env {line}"),
        true => format!("exec {line}"),
        false => line.to_owned(),
    }
}

/// The line without what stands between quotes.
fn bare(line: &str) -> String {
    let mut quote = None;
    let mut outside = |c: &char| match quote {
        Some(open) => {
            if *c == open {
                quote = None;
            }
            false
        }
        None if ['"', '\''].contains(c) => {
            quote = Some(*c);
            false
        }
        None => true,
    };
    line.chars().filter(|c| outside(c)).collect()
}

/// `NAME=value`.
pub fn is_assignment(word: &str) -> bool {
    let name = word.split_once('=').map(|(name, _)| name).unwrap_or_default();
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let shown = |line: &str| argv(line, Some(Port::saturating(5000))).join("|");
        assert_eq!(shown("node server.js --port $PORT"), "node|server.js|--port|5000");
        assert_eq!(
            shown("gunicorn -b 0.0.0.0:${PORT:-80} 'a:create(\"x\")'"),
            "gunicorn|-b|0.0.0.0:5000|a:create(\"x\")"
        );
        assert_eq!(shown("A=1 node x"), "sh|-c|exec env A=1 node x");
        assert_eq!(shown("node x $HOME"), "sh|-c|exec node x $HOME");
        assert_eq!(shown("./migrate && ./run"), "sh|-c|./migrate && ./run");
        assert_eq!(shown("x $PORTS ${PORT"), "sh|-c|exec x $PORTS ${PORT");
        assert_eq!(shown("say 'a b'"), "say|a b");
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_read(line in "\\PC{0,40}|[$PORT{}:\\-'\" =a;]{0,40}") { argv(&line, Some(Port::saturating(1))); }
    }
}
