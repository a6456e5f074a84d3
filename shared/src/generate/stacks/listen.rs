//! Where a compiled program listens, as its sources say: by a variable, by a flag, or as written.
//!
//! Invariant: a program that only its own container could reach is made to listen for others, by a flag or a variable
//! that its sources read, or it is refused. What is found is only ever used as a number or as the name of a flag made
//! of plain letters. Absent: parsing a language; what is computed is not found, and the usual port is taken.

use std::sync::LazyLock;

use regex::Regex;

use crate::{
    domain::Port,
    generate::{error::GenerateError, look::Look, scan},
};

/// What a language's sources are searched for.
pub struct Grammar {
    /// Each matches a bound address with the groups `host` (may be missing or empty) and `port`.
    pub literals: LazyLock<Vec<Regex>>,
    /// Each matches the definition of a flag with the groups `name` and `default`.
    pub flags: LazyLock<Vec<Regex>>,
    /// The port when nothing says one.
    pub usual: u16,
}

/// Compiles those that are right; a test says that all are.
pub fn patterns(texts: &[&str]) -> Vec<Regex> {
    texts.iter().filter_map(|text| Regex::new(text).ok()).collect()
}

/// Variables by which programs are told where to listen.
enum Told {
    Port,
    Host,
    Address,
}
const VARIABLES: &[(&str, Told)] = &[
    ("PORT", Told::Port),
    ("HTTP_PORT", Told::Port),
    ("SERVER_PORT", Told::Port),
    ("APP_PORT", Told::Port),
    ("LISTEN_PORT", Told::Port),
    ("HOST", Told::Host),
    ("BIND_HOST", Told::Host),
    ("SERVER_HOST", Told::Host),
    ("ADDR", Told::Address),
    ("ADDRESS", Told::Address),
    ("BIND_ADDR", Told::Address),
    ("BIND_ADDRESS", Told::Address),
    ("HTTP_ADDR", Told::Address),
    ("LISTEN_ADDR", Told::Address),
    ("LISTEN_ADDRESS", Told::Address),
    ("SERVER_ADDRESS", Told::Address),
];

/// Flags that say where the app listens, the most telling first; those of other listeners are not among them.
const ADDRESS_FLAGS: &[&str] =
    &["addr", "http", "listen", "address", "bind", "listen-addr", "listen-address", "http-addr", "bind-addr", "a", "l"];
const PORT_FLAGS: &[&str] = &["port", "http-port", "listen-port", "p"];
const HOST_FLAGS: &[&str] = &["host", "hostname", "ip", "interface", "bind-host"];
/// Where data services listen; an address with such a port is one that is connected to.
const DATA_PORTS: &[u16] = &[2379, 3306, 4222, 5432, 5672, 6379, 9042, 9092, 9200, 11211, 27017];
/// Below it, a process needs a right that an image may not have.
const UNPRIVILEGED: u16 = 1024;

/// How the app is made to listen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    pub port: Option<Port>,
    /// For the end of the command.
    pub arguments: Vec<String>,
    /// Names of variables and what they say.
    pub env: Vec<(&'static str, String)>,
    pub notes: Vec<String>,
}

/// An address that some source binds.
#[derive(Clone, Debug)]
struct Bound<'a> {
    host: String,
    port: u16,
    file: &'a str,
}

impl Bound<'_> {
    fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }
}

fn is_loopback(host: &str) -> bool {
    host.starts_with("127.") || host.starts_with("127,") || ["localhost", "[::1]", "::1", "LOCALHOST"].contains(&host)
}

#[derive(Clone, Debug)]
struct Flag {
    name: String,
    host: Option<String>,
    port: Option<u16>,
}

/// Decides where the app listens; `given` is what its command says already.
pub fn listening(
    stack: &'static str,
    grammar: &Grammar,
    sources: &[(String, String)],
    look: &Look<'_>,
    given: &[String],
) -> Result<Listening, GenerateError> {
    let variables: Vec<_> = VARIABLES.iter().filter(|(name, _)| mentions(sources, name)).collect();
    let flags: Vec<Flag> = flags(grammar, sources).into_iter().filter(|flag| !is_given(flag, given)).collect();
    let bound = bound(grammar, sources);
    let address = pick(&flags, ADDRESS_FLAGS);
    let host_flag = pick(&flags, HOST_FLAGS).filter(|flag| flag.host.is_some());
    let port_flag = pick(&flags, PORT_FLAGS).filter(|flag| flag.port.is_some());
    let told_port = variables.iter().any(|(_, told)| !matches!(told, Told::Host));
    let told_host = variables.iter().any(|(_, told)| !matches!(told, Told::Port));

    let written = address.or(port_flag).and_then(|flag| flag.port);
    let written = written.or_else(|| told_port.then(|| fallback(sources)).flatten());
    let written = written.or_else(|| bound.iter().find(|b| !b.is_loopback()).or(bound.first()).map(|b| b.port));
    let movable = told_port || address.is_some() || port_flag.is_some();
    let usual = written.filter(|port| !movable || *port >= UNPRIVILEGED).unwrap_or(grammar.usual);
    let port = scan::port(look, usual);

    let mut found = Listening { port: Some(port), ..Listening::default() };
    if let Some(flag) = address {
        let shut_in = flag.host.as_deref().is_some_and(is_loopback);
        if shut_in || flag.port != Some(u16::from(port)) {
            found.arguments.push(format!("--{}=0.0.0.0:{port}", flag.name));
            found.notes.push(format!("the flag {} tells it to listen for others", flag.name));
        }
    } else {
        if let Some(flag) = port_flag.filter(|flag| flag.port != Some(u16::from(port))) {
            found.arguments.push(format!("--{}={port}", flag.name));
        }
        if let Some(flag) = host_flag.filter(|flag| flag.host.as_deref().is_some_and(is_loopback)) {
            found.arguments.push(format!("--{}=0.0.0.0", flag.name));
            found.notes.push(format!("the flag {} tells it to listen for others", flag.name));
        }
    }
    for (name, told) in &variables {
        let value = match told {
            Told::Port => port.to_string(),
            Told::Host => "0.0.0.0".to_owned(),
            Told::Address => format!("0.0.0.0:{port}"),
        };
        found.env.push((name, value));
    }
    let reachable = address.is_some() || host_flag.is_some() || told_host || !given.is_empty();
    match bound.first().filter(|_| !reachable && bound.iter().all(Bound::is_loopback)) {
        Some(shut_in) => Err(GenerateError::Unsupported {
            stack,
            reason: format!(
                "{} listens on {}:{} only, which nothing outside of its container can reach; listen on 0.0.0.0, or on the \
                 address of a variable HOST",
                shut_in.file, shut_in.host, shut_in.port
            ),
        }),
        None => Ok(found),
    }
}

fn mentions(sources: &[(String, String)], name: &str) -> bool {
    let forms = ['"', '\'', '`'].map(|quote| format!("{quote}{name}{quote}"));
    let member = format!("env.{name}");
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    sources.iter().any(|(_, text)| {
        forms.iter().any(|form| text.contains(form.as_str()))
            || text.match_indices(&member).any(|(at, found)| ends(&text[at + found.len()..]))
    })
}

fn is_given(flag: &Flag, given: &[String]) -> bool {
    given.iter().any(|word| word.trim_start_matches('-').split('=').next() == Some(flag.name.as_str()))
}

fn pick<'a>(flags: &'a [Flag], names: &[&str]) -> Option<&'a Flag> {
    names.iter().find_map(|name| flags.iter().find(|flag| flag.name == *name))
}

fn flags(grammar: &Grammar, sources: &[(String, String)]) -> Vec<Flag> {
    let found = sources.iter().flat_map(|(_, text)| grammar.flags.iter().flat_map(|regex| regex.captures_iter(text)));
    let read = |captures: regex::Captures<'_>| {
        let (host, port) = address(captures.name("default")?.as_str());
        Some(Flag { name: captures.name("name")?.as_str().replace('_', "-"), host, port })
    };
    found.filter_map(read).collect()
}

/// `localhost:8080`, `:8080`, `8080` or `localhost`.
fn address(text: &str) -> (Option<String>, Option<u16>) {
    match text.rsplit_once(':') {
        Some((host, port)) => (Some(host.to_owned()), port.parse().ok()),
        None => match text.parse() {
            Ok(port) => (None, Some(port)),
            Err(_) => (Some(text.to_owned()), None),
        },
    }
}

fn bound<'a>(grammar: &Grammar, sources: &'a [(String, String)]) -> Vec<Bound<'a>> {
    let mut all: Vec<Bound<'a>> = Vec::new();
    for (file, text) in sources {
        for captures in grammar.literals.iter().flat_map(|regex| regex.captures_iter(text)) {
            let host = captures.name("host").map(|host| host.as_str().to_owned()).unwrap_or_default();
            let port = captures.name("port").and_then(|port| port.as_str().parse().ok());
            let port = port.filter(|port| *port > 0 && !DATA_PORTS.contains(port));
            all.extend(port.map(|port| Bound { host, port, file: file.as_str() }));
        }
    }
    // The same place may be found by a second pattern, which does not see the host.
    let hosts: Vec<(u16, &str)> = all.iter().filter(|b| !b.host.is_empty()).map(|b| (b.port, b.file)).collect();
    all.retain(|bound| !bound.host.is_empty() || !hosts.contains(&(bound.port, bound.file)));
    all
}

/// The port that is taken when the variable is not set.
fn fallback(sources: &[(String, String)]) -> Option<u16> {
    static FORMS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
        patterns(&[
            r#"["'`.]PORT["'`]?\)?[^\n]{0,60}?\b(?P<port>[0-9]{4,5})\b"#,
            r#"(?i)\b[a-z]*(?:port|addr|address)\s*:?=\s*["'`]?:?(?P<port>[0-9]{4,5})\b"#,
            r#"\|\|\s*["'`]?(?P<port>[0-9]{4,5})\b"#,
        ])
    });
    let with_port = |regex: &&Regex| sources.iter().find_map(|(_, text)| regex.captures(text)?["port"].parse().ok());
    FORMS.iter().find_map(|regex| with_port(&regex)).filter(|port| !DATA_PORTS.contains(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(address("localhost:80"), (Some("localhost".into()), Some(80)));
        assert_eq!(address(":80"), (Some(String::new()), Some(80)));
        assert_eq!(address("80"), (None, Some(80)));
        assert!(is_loopback("127.0.0.1") && is_loopback("[::1]") && !is_loopback("") && !is_loopback("0.0.0.0"));
    }

    #[test]
    fn variables_are_whole_words() {
        let sources = |text: &str| vec![("a".to_owned(), text.to_owned())];
        assert!(mentions(&sources("getenv(\"PORT\")"), "PORT") && mentions(&sources("process.env.PORT || 1"), "PORT"));
        assert!(!mentions(&sources("env.PORTAL \"SMTP_PORT\""), "PORT"));
        assert_eq!(fallback(&sources("if os.Getenv(\"PORT\") == \"\" {\n port = \"3100\" }")), Some(3100));
        assert_eq!(fallback(&sources("Deno.env.get(\"PORT\") ?? \"4000\"")), Some(4000));
        assert_eq!(fallback(&sources("nothing")), None);
    }
}
