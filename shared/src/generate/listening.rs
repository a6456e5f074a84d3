//! Where an app listens, as its sources say: on which port, whether the environment can change that, and whether anybody
//! but the app's own machine can reach it.
//!
//! Invariant: what is found is a number or a fact, never text of the repository. Absent: parsing a language; what is
//! computed is not found, and then the stack's usual port is used and the environment says it.

use std::sync::LazyLock;

use regex::Regex;

use crate::domain::Port;

/// What the sources say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    /// The port written down, and in which file.
    pub port: Option<(Port, String)>,
    /// Whether the variable `PORT` is read.
    pub by_environment: bool,
    /// The file in which only the own machine is let in, whatever the environment says.
    pub loopback: Option<String>,
}

static PORT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"(?i)(?:listen\(|\bport\b["']?\s*(?::\s*\w+\s*)?[:=]\s*|\bport\s*=\s*|\|\|\s*|\?\?\s*)["']?(\d{2,5})\b"#,
    )
    .ok()
});
static ENVIRONMENT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"env(?:iron)?(?:\.get)?[\.\[\("']*\s*["']?PORT\b|getenv\(["']PORT|Bun\.env\.PORT|Deno\.env\.get\(["']PORT|import\.meta\.env\.PORT"#).ok()
});
static LOOPBACK: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?:listen|serve)\([^()]{0,160}?["'](?:127\.0\.0\.1|localhost|::1)["']"#).ok());

/// Looks at the sources in their order; the first port found counts.
pub fn look(sources: &[(String, String)]) -> Listening {
    let mut found = Listening::default();
    for (path, text) in sources.iter().filter(|(_, text)| mentions_a_server(text)) {
        found.by_environment |= ENVIRONMENT.as_ref().is_some_and(|pattern| pattern.is_match(text));
        let port =
            || PORT.as_ref()?.captures_iter(text).find_map(|found| found[1].parse::<u16>().ok()?.try_into().ok());
        if found.port.is_none() {
            found.port = port().filter(|port: &Port| port.get() >= 80).map(|port| (port, path.clone()));
        }
        if found.loopback.is_none() && LOOPBACK.as_ref().is_some_and(|pattern| pattern.is_match(text)) {
            found.loopback = Some(path.clone());
        }
    }
    found
}

/// Only files that listen say where.
fn mentions_a_server(text: &str) -> bool {
    ["listen(", "serve(", "createServer", "HTTPServer", ".run(", "PORT"].iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> (Option<u16>, bool, bool) {
        let found = look(&[("a.js".to_owned(), text.to_owned())]);
        (found.port.map(|(port, _)| port.get()), found.by_environment, found.loopback.is_some())
    }

    #[test]
    fn where_it_listens() {
        assert_eq!(found("app.listen(3001)"), (Some(3001), false, false));
        assert_eq!(found("const port = process.env.PORT || 4000; app.listen(port)"), (Some(4000), true, false));
        assert_eq!(found("serve({ fetch: app.fetch, port: 3000 })"), (Some(3000), false, false));
        assert_eq!(found("server.listen(8080, '127.0.0.1')"), (Some(8080), false, true));
        assert_eq!(found("listen({ port: 80, host: 'localhost' })"), (Some(80), false, true));
        assert_eq!(found("listen({ port: process.env.PORT ?? 5001, host: '0.0.0.0' })"), (Some(5001), true, false));
        assert_eq!(found("const port: number = 4100\nlisten(port)"), (Some(4100), false, false));
        assert_eq!(found("listen(port); const db = { host: 'localhost' }"), (None, false, false));
        assert_eq!(found("const x = 3000"), (None, false, false));
        assert_eq!(found("listen(7)"), (None, false, false));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "listen\\(\\PC{0,60}") { found(&text); }
    }
}
