use super::{start::runs_on_bun, *};
use crate::generate::{recipe::Wishes, source::SourceTree};

fn started(package: &str, others: &[(&str, &str)]) -> String {
    let tree = SourceTree::in_memory(others.iter().copied().chain([("package.json", package)]));
    let wishes = Wishes::default();
    let look = Look::new(&tree, &RelPath::root(), &wishes);
    let Some(candidate) = Bun.detect(&look) else { return "-".into() };
    match Bun.plan(&look) {
        Ok(plan) => format!(
            "{} {} on {:?}",
            candidate.confidence,
            plan.runtime.start.join(" "),
            plan.runtime.port.map(u16::from)
        ),
        Err(error) => error.to_string(),
    }
}

#[test]
fn patterns_compile() {
    assert_eq!(GRAMMAR.literals.len(), LITERALS.len());
}

#[test]
fn what_runs_on_bun() {
    let serve = ("server.ts", "Bun.serve({ port: 3000, fetch() {} })");
    assert_eq!(started(r#"{"scripts":{"start":"bun server.ts"}}"#, &[serve]), "92 bun server.ts on Some(3000)");
    assert_eq!(started("{}", &[serve]), "92 bun server.ts on Some(3000)");
    let hot = r#"{"scripts":{"dev":"bun run --hot src/index.ts"},"dependencies":{"hono":"4"}}"#;
    assert_eq!(started(hot, &[("src/index.ts", "export default app")]), "92 bun run src/index.ts on Some(3000)");
    let production = r#"{"scripts":{"start":"NODE_ENV=production bun src/index.ts"}}"#;
    assert_eq!(started(production, &[]), "92 bun src/index.ts on Some(3000)");
    let variables = r#"{"scripts":{"start":"A=1 bun src/index.ts"}}"#;
    assert_eq!(started(variables, &[]), "92 sh -c exec env A=1 bun src/index.ts on Some(3000)");
    let followed = r#"{"scripts":{"start":"bun run serve","serve":"bun --watch a.ts"}}"#;
    assert_eq!(started(followed, &[]), "92 bun a.ts on Some(3000)");
    for other in [
        r#"{"scripts":{"start":"node server.js"}}"#,
        r#"{"scripts":{"start":"bun --bun next start"},"dependencies":{"next":"15"}}"#,
        r#"{"scripts":{"start":"bun run build && node x"}}"#,
        r#"{"scripts":{"dev":"vite"}}"#,
        "[]",
    ] {
        assert_eq!(started(other, &[]), "-", "{other}");
    }
    let alone = ("server.ts", "Bun.serve({ hostname: \"localhost\", port: 3000 })");
    assert!(started("{}", &[alone]).contains("server.ts listens on localhost:3000 only"));
}

proptest::proptest! {
    #[test]
    fn any_script_is_read(text in "(bun|run|start|--hot|[a-z]{1,3}|[;&$'\"]| ){0,9}") {
        runs_on_bun(&serde_json::json!({"scripts": {"start": text, "a": "bun run start"}}), &text);
    }
}
