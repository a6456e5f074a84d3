use super::{
    start::{complete, runs},
    *,
};
use crate::{
    domain::Port,
    generate::{recipe::Wishes, source::SourceTree},
};

fn started(files: &[(&str, &str)]) -> String {
    let tree = SourceTree::in_memory(files.iter().copied());
    let wishes = Wishes::default();
    let look = Look::new(&tree, &RelPath::root(), &wishes);
    let Some(candidate) = Deno.detect(&look) else { return "-".into() };
    match Deno.plan(&look) {
        Ok(plan) => format!(
            "{} {} on {:?}",
            candidate.confidence,
            plan.runtime.start.join(" "),
            plan.runtime.port.map(u16::from)
        ),
        Err(error) => format!("{} {error}", candidate.confidence),
    }
}

#[test]
fn how_it_starts() {
    let main = ("main.ts", "Deno.serve(() => new Response())");
    assert_eq!(
        started(&[("deno.json", r#"{"tasks":{"dev":"deno run --watch -A main.ts"}}"#), main]),
        "91 deno run --cached-only -A main.ts on Some(8000)"
    );
    let all = "--allow-net --allow-env --allow-read --allow-sys --allow-write=/tmp";
    assert_eq!(
        started(&[("deno.jsonc", "{} // none"), main]),
        format!("90 deno run --cached-only {all} main.ts on Some(8000)")
    );
    assert_eq!(started(&[main]), format!("70 deno run --cached-only {all} main.ts on Some(8000)"));
    let task = r#"{"tasks":{"start":"deno task go","go":{"command":"deno serve -N main.ts"}}}"#;
    assert_eq!(
        started(&[("deno.json", task), main]),
        "91 deno serve --cached-only --port=8000 -N main.ts on Some(8000)"
    );
    let port = ("main.ts", "Deno.serve({ port: 4321 }, f)");
    assert!(started(&[("deno.json", "{}"), port]).ends_with("Some(4321)"));
    let alone = ("main.ts", "Deno.serve({ port: 4321, hostname: \"127.0.0.1\" }, f)");
    assert!(started(&[("deno.json", "{}"), alone]).contains("main.ts listens on 127.0.0.1:4321 only"));
}

#[test]
fn what_is_not_denos() {
    assert_eq!(started(&[("server.js", "http.createServer().listen(1)")]), "-");
    assert!(
        started(&[("deno.json", "{\"lint\":{}}"), ("server.js", "http.createServer().listen(1)")]).starts_with("45 ")
    );
    assert!(started(&[("deno.json", r#"{"tasks":{"start":"rm -rf / && deno run a.ts"}}"#)]).starts_with("45 "));
}

proptest::proptest! {
    #[test]
    fn any_task_is_read(line in "(deno|task|run|serve|a|-A|--watch|'|\"|;| ){0,9}") {
        let config = serde_json::json!({"tasks": {"a": line, "start": "deno task a"}});
        if let Some(argv) = runs(&config, &line) { complete(argv, Port::saturating(1)); }
    }
}
