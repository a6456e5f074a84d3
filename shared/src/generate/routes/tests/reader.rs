//! Reads a file of routes without the help of what wrote it: its own YAML of the few forms that such a file needs, and
//! Traefik's grammar of rules.
//!
//! Invariant: what it does not know it refuses, so nothing that is there goes unread.

use std::collections::BTreeMap;

/// A node of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    Text(String),
    List(Vec<Node>),
    Map(BTreeMap<String, Node>),
}

impl Node {
    pub fn map(&self) -> &BTreeMap<String, Node> {
        match self {
            Node::Map(map) => map,
            other => panic!("no map: {other:?}"),
        }
    }

    pub fn at(&self, path: &[&str]) -> &Node {
        path.iter().fold(self, |node, key| node.map().get(*key).unwrap_or_else(|| panic!("no {key}: {node:?}")))
    }

    pub fn text(&self) -> &str {
        match self {
            Node::Text(text) => text,
            other => panic!("no text: {other:?}"),
        }
    }

    pub fn list(&self) -> &[Node] {
        match self {
            Node::List(list) => list,
            other => panic!("no list: {other:?}"),
        }
    }
}

/// The file's one document.
pub fn yaml(text: &str) -> Node {
    let lines: Vec<(usize, &str)> = text.lines().map(|line| (indent(line), line.trim_start())).collect();
    let mut at = 0;
    let node = block(&lines, &mut at, 0);
    assert_eq!(at, lines.len(), "lines are left: {text}");
    node
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// All lines from `at` on with this indent, and what is below them.
fn block(lines: &[(usize, &str)], at: &mut usize, depth: usize) -> Node {
    if lines[*at].1.starts_with("- ") { list(lines, at, depth) } else { Node::Map(map(lines, at, depth)) }
}

fn list(lines: &[(usize, &str)], at: &mut usize, depth: usize) -> Node {
    let mut items = Vec::new();
    while let Some((_, rest)) = lines.get(*at).filter(|(d, l)| *d == depth && l.starts_with("- ")) {
        let rest = &rest[2..];
        *at += 1;
        // An item that is a map has its first key behind the dash, and no others in these files.
        items.push(match key(rest) {
            Some((key, value)) if !value.is_empty() => Node::Map(BTreeMap::from([(key, scalar(value))])),
            _ => scalar(rest),
        });
    }
    Node::List(items)
}

fn map(lines: &[(usize, &str)], at: &mut usize, depth: usize) -> BTreeMap<String, Node> {
    let mut found = BTreeMap::new();
    while let Some((_, line)) = lines.get(*at).filter(|(d, l)| *d == depth && !l.starts_with("- ")) {
        let (key, value) = key(line).unwrap_or_else(|| panic!("no key: {line}"));
        *at += 1;
        let node = match (value, lines.get(*at)) {
            ("{}", _) => Node::Map(BTreeMap::new()),
            ("", Some((d, next))) if *d > depth || (*d == depth && next.starts_with("- ")) => block(lines, at, *d),
            _ => scalar(value),
        };
        assert!(found.insert(key, node).is_none(), "a key stands twice");
    }
    found
}

fn key(line: &str) -> Option<(String, &str)> {
    let (key, rest) = line.split_once(':')?;
    let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    (plain && (rest.is_empty() || rest.starts_with(' '))).then(|| (key.to_owned(), rest.trim_start()))
}

/// A scalar on one line: in single quotes, or plain when no reader could take it for anything else.
fn scalar(text: &str) -> Node {
    if let Some(inner) = text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')) {
        let parts: Vec<&str> = inner.split("''").collect();
        assert!(parts.iter().all(|part| !part.contains('\'')), "a quote ends early: {text}");
        return Node::Text(parts.join("'"));
    }
    assert!(text.starts_with(|c: char| c.is_ascii_alphanumeric() || "^/".contains(c)), "not plain: {text:?}");
    assert!(!text.contains(": ") && !text.contains(" #") && !text.ends_with(':'), "not plain: {text:?}");
    assert!(text.chars().all(|c| (' '..='~').contains(&c)), "not plain: {text:?}");
    Node::Text(text.to_owned())
}

/// A rule as Traefik understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    Is(String, String),
    Both(Box<Rule>, Box<Rule>),
    Either(Box<Rule>, Box<Rule>),
}

impl Rule {
    pub fn is(matcher: &str, value: &str) -> Self {
        Self::Is(matcher.to_owned(), value.to_owned())
    }

    /// Whether a request to this host and path is led on, by the meaning of Traefik's matchers.
    pub fn matches(&self, host: &str, path: &str) -> bool {
        match self {
            Self::Both(a, b) => a.matches(host, path) && b.matches(host, path),
            Self::Either(a, b) => a.matches(host, path) || b.matches(host, path),
            Self::Is(matcher, value) => match matcher.as_str() {
                "Host" => host.eq_ignore_ascii_case(value),
                "Path" => path == value,
                "PathPrefix" => path.starts_with(value.as_str()),
                other => panic!("a matcher that nobody wrote: {other}"),
            },
        }
    }
}

/// The whole text as one rule.
pub fn rule(text: &str) -> Rule {
    let (rule, rest) = either(text);
    assert_eq!(rest, "", "something follows the rule {text:?}");
    rule
}

fn either(text: &str) -> (Rule, &str) {
    let (mut left, mut rest) = both(text);
    while let Some(next) = rest.trim_start().strip_prefix("||") {
        let (right, after) = both(next);
        (left, rest) = (Rule::Either(Box::new(left), Box::new(right)), after);
    }
    (left, rest)
}

fn both(text: &str) -> (Rule, &str) {
    let (mut left, mut rest) = one(text);
    while let Some(next) = rest.trim_start().strip_prefix("&&") {
        let (right, after) = one(next);
        (left, rest) = (Rule::Both(Box::new(left), Box::new(right)), after);
    }
    (left, rest)
}

fn one(text: &str) -> (Rule, &str) {
    let text = text.trim_start();
    if let Some(inner) = text.strip_prefix('(') {
        let (rule, rest) = either(inner);
        return (rule, rest.trim_start().strip_prefix(')').expect("a closing bracket"));
    }
    let end = text.find(|c: char| !c.is_ascii_alphabetic()).expect("a matcher has an argument");
    let (matcher, rest) = text.split_at(end);
    let (value, rest) = rest.strip_prefix("(`").and_then(|r| r.split_once('`')).expect("an argument in backticks");
    (Rule::is(matcher, value), rest.strip_prefix(')').expect("one argument"))
}

#[test]
fn rules_are_read_as_traefik_reads_them() {
    let read = rule("Host(`a.test`) && (Path(`/x`) || PathPrefix(`/x/`))");
    assert!(read.matches("a.test", "/x") && read.matches("A.test", "/x/y"));
    assert!(!read.matches("a.test", "/xy") && !read.matches("b.test", "/x"));
    // `&&` binds closer.
    let loose = rule("Host(`a.test`) && Path(`/x`) || PathPrefix(`/y`)");
    assert!(loose.matches("b.test", "/y"));
    for wrong in ["Host(`a`)`)", "Host(`a`) Host(`b`)", "Host(a)", "Host(`a`", "Host(`a`, `b`)"] {
        assert!(std::panic::catch_unwind(|| rule(wrong)).is_err(), "{wrong}");
    }
}
