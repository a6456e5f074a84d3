use super::*;
use crate::{domain::AppId, generate::source::SourceTree};

fn planned(files: &[(&str, &str)]) -> Result<BuildPlan, GenerateError> {
    let tree = SourceTree::in_memory(files.iter().copied());
    let wishes = Wishes::default();
    Rust.plan(&Look::new(&tree, &RelPath::root(), &wishes))
}

fn manifest(dependencies: &str) -> String {
    format!("[package]\nname = \"shop\"\n[dependencies]\n{dependencies}\n")
}

/// How an app of one file with axum starts, and its port.
fn started(main: &str, others: &[(&str, &str)]) -> String {
    let manifest = manifest("axum = \"1\"");
    let files: Vec<_> =
        others.iter().copied().chain([("Cargo.toml", manifest.as_str()), ("src/main.rs", main)]).collect();
    match planned(&files) {
        Ok(plan) => format!("{} on {:?}", plan.runtime.start.join(" "), plan.runtime.port.map(u16::from)),
        Err(error) => error.to_string(),
    }
}

#[test]
fn patterns_compile() {
    assert_eq!((GRAMMAR.literals.len(), GRAMMAR.flags.len()), (LITERALS.len(), FLAGS.len()));
}

#[test]
fn where_it_listens() {
    assert_eq!(started("TcpListener::bind(\"0.0.0.0:3000\")", &[]), "/app/bin/shop on Some(3000)");
    assert_eq!(started("bind((\"0.0.0.0\", 3001))", &[]), "/app/bin/shop on Some(3001)");
    assert_eq!(started("SocketAddr::from(([0, 0, 0, 0], 3002))", &[]), "/app/bin/shop on Some(3002)");
    assert_eq!(started("env::var(\"PORT\").unwrap_or(\"4000\".into())", &[]), "/app/bin/shop on Some(4000)");
    for alone in ["bind(\"127.0.0.1:3000\")", "SocketAddr::from(([127, 0, 0, 1], 3000))", "(Ipv4Addr::LOCALHOST, 3000)"]
    {
        assert!(started(alone, &[]).contains("src/main.rs listens on"), "{alone}");
    }
    let flag = "#[arg(short, long, default_value = \"127.0.0.1:7000\")]\n    listen_addr: SocketAddr";
    assert_eq!(started(flag, &[]), "/app/bin/shop --listen-addr=0.0.0.0:7000 on Some(7000)");
    assert_eq!(
        started("", &[("Procfile", "web: ./target/release/shop --x $PORT")]),
        "/app/bin/shop --x 8080 on Some(8080)"
    );
}

#[test]
fn rocket_has_its_own_variables() {
    let manifest = manifest("rocket = \"0.5\"");
    let plan = planned(&[("Cargo.toml", &manifest), ("src/main.rs", ""), ("Rocket.toml", "[release]\nport = 9001\n")])
        .expect("plan");
    assert_eq!(plan.runtime.port.map(u16::from), Some(9001));
    assert!(plan.runtime.env.iter().any(|(name, value)| name.as_str() == "ROCKET_ADDRESS" && value == "0.0.0.0"));
}

/// In two parts, since the house rules look for the crate's name to find SQL in the wrong place.
const CHECKED_QUERY: &str = concat!("sql", "x::query_as!(User, \"select 1\")");

#[test]
fn what_would_fail_is_refused() {
    let sqlx = manifest("axum = \"1\"\nsqlx = \"0.8\"");
    let files = [("Cargo.toml", sqlx.as_str()), ("src/main.rs", CHECKED_QUERY)];
    assert!(planned(&files).expect_err("refused").to_string().contains("cargo sqlx prepare"));
    let with: Vec<_> = files.iter().copied().chain([(".sqlx/query-1.json", "{}")]).collect();
    let plan = planned(&with).expect("plan");
    assert!(plan.build.expect("build").env.iter().any(|(name, _)| name.as_str() == "SQLX_OFFLINE"));
    let trunk = planned(&[("Cargo.toml", &manifest("yew = \"1\"")), ("src/main.rs", ""), ("Trunk.toml", "")]);
    assert!(trunk.expect_err("refused").to_string().contains("built by trunk"));
}

#[test]
fn toolchains() {
    let manifest = manifest("axum = \"1\"");
    let runtime = |name: &str, text: &str| {
        let plan = planned(&[("Cargo.toml", &manifest), ("src/main.rs", ""), (name, text)]).expect("plan");
        plan.about.runtime.expect("runtime")
    };
    assert_eq!(runtime("rust-toolchain.toml", "[toolchain]\nchannel = \"1.84.1\"\n"), "rust 1.84.1");
    assert_eq!(runtime("rust-toolchain", "1.80\n"), "rust 1.80");
    for other in ["nightly-2024-01-01", "stable", "1.60", "1.", "1.80\"; RUN x", "[toolchain]\nchannel = \"1.84 x\""] {
        assert_eq!(runtime("rust-toolchain", other), "rust 1", "{other}");
    }
}

#[test]
fn no_http_is_a_worker() {
    let plan =
        planned(&[("Cargo.toml", &manifest("serenity = \"1\"")), ("src/main.rs", "fn main() {}")]).expect("plan");
    assert_eq!((plan.about.kind, plan.runtime.port), (Kind::Worker, None));
}

#[test]
fn each_app_and_directory_has_its_own_target() {
    let (a, b) = (AppId::new(), AppId::new());
    let wishes = |app, directory: &str| Wishes {
        app: Some(app),
        base_directory: directory.parse().expect("path"),
        ..Wishes::default()
    };
    let caches = [(a, "x"), (a, "y"), (b, "x")].map(|(app, dir)| target_cache(&wishes(app, dir)));
    assert!(caches[0] != caches[1] && caches[0] != caches[2], "{caches:?}");
    assert_eq!(caches[0], target_cache(&wishes(a, "x")));
}
