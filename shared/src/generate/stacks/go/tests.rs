use super::*;
use crate::generate::{recipe::Wishes, source::SourceTree};

fn planned(files: &[(&str, &str)]) -> Result<BuildPlan, GenerateError> {
    planned_at("", files)
}

fn planned_at(at: &str, files: &[(&str, &str)]) -> Result<BuildPlan, GenerateError> {
    let tree = SourceTree::in_memory(files.iter().copied());
    let wishes = Wishes::default();
    let look = Look::new(&tree, &at.parse().expect("path"), &wishes);
    Go.plan(&look)
}

/// The start of an app that is this one file, and its port.
fn started(body: &str, others: &[(&str, &str)]) -> String {
    let text = format!("package main\nimport (\n\t\"net/http\"\n)\nfunc main() {{\n{body}\n}}\n");
    let files: Vec<_> =
        others.iter().copied().chain([("go.mod", "module shop\n"), ("main.go", text.as_str())]).collect();
    match planned(&files) {
        Ok(plan) => {
            let port = plan.runtime.port.map_or_else(|| "none".to_owned(), |port| port.to_string());
            format!("{} on {port}", plan.runtime.start.join(" "))
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn patterns_compile() {
    assert_eq!(GRAMMAR.literals.len(), LITERALS.len());
    assert_eq!(GRAMMAR.flags.len(), FLAGS.len());
}

#[test]
fn where_it_listens() {
    let serve = "http.ListenAndServe(addr, nil)";
    let with = |line: &str| started(&format!("{line}\n{serve}"), &[]);
    assert_eq!(with("addr := \":\" + os.Getenv(\"PORT\")"), "/usr/local/bin/app on 8080");
    assert_eq!(with("addr := \":9000\""), "/usr/local/bin/app on 9000");
    assert_eq!(
        with("flag.String(\"http\", \"localhost:8081\", \"where\")"),
        "/usr/local/bin/app --http=0.0.0.0:8081 on 8081"
    );
    assert_eq!(with("flag.StringVar(&c.addr, \"addr\", \":4000\", \"\")"), "/usr/local/bin/app on 4000");
    assert_eq!(
        with("flag.StringVar(&port, \"port\", getEnv(\"WHOAMI_PORT_NUMBER\", \"80\"), \"\")"),
        "/usr/local/bin/app --port=8080 on 8080"
    );
    assert_eq!(with("redis.NewClient(&redis.Options{Addr: \"localhost:6379\"})"), "/usr/local/bin/app on 8080");
    assert!(
        started("http.ListenAndServe(\"127.0.0.1:8080\", nil)", &[]).contains("main.go listens on 127.0.0.1:8080 only")
    );
    assert_eq!(
        started("go http.ListenAndServe(\"localhost:6060\", nil)\nhttp.ListenAndServe(\":8090\", nil)", &[]),
        "/usr/local/bin/app on 8090"
    );
}

#[test]
fn lines_of_other_platforms() {
    let serve = "http.ListenAndServe(\":\"+os.Getenv(\"PORT\"), nil)";
    assert_eq!(started(serve, &[("Procfile", "web: bin/shop -port $PORT")]), "/usr/local/bin/app -port 8080 on 8080");
    assert_eq!(started(serve, &[("Procfile", "web: gunicorn x")]), "/usr/local/bin/app on 8080");
    let (main, module) = ("package main\nfunc main() {}\n", ("go.mod", "module shop"));
    let files = [module, ("cmd/a/main.go", main), ("cmd/b/main.go", main), ("Procfile", "web: ./b\nrelease: bin/a up")];
    let plan = planned(&files).expect("plan");
    assert!(plan.notes[0].ends_with("./cmd/b"));
    assert_eq!(plan.about.release, [["/usr/local/bin/release", "up"]]);
    assert_eq!(plan.build.expect("build").build[1].argv.last().map(String::as_str), Some("./cmd/a"));
}

#[test]
fn no_http_is_a_worker() {
    let plan = planned(&[("go.mod", "module bot"), ("main.go", "package main\nfunc main() {}\n")]).expect("plan");
    assert_eq!((plan.about.kind, plan.runtime.port, plan.runtime.health), (Kind::Worker, None, None));
}

#[test]
fn modules_and_workspaces() {
    let main = "package main\nimport \"net/http\"\nfunc main() { http.ListenAndServe(\":1234\", nil) }\n";
    let command = |plan: BuildPlan| (plan.context.to_string(), plan.build.expect("build").build[0].shown());
    let work = [
        ("go.work", "go 1.24\nuse (\n./api\n./lib\n)"),
        ("api/go.mod", "module a/api"),
        ("api/cmd/api/main.go", main),
        ("lib/go.mod", "module a/lib"),
    ];
    let (context, shown) = command(planned_at("api", &work).expect("plan"));
    assert!(context.is_empty() && shown.ends_with("./api/cmd/api"), "{shown}");
    let replaced = [("x/a/go.mod", "module a\nreplace b => ../b"), ("x/a/main.go", main), ("x/b/go.mod", "module b")];
    let (context, shown) = command(planned_at("x/a", &replaced).expect("plan"));
    assert_eq!(context, "x");
    assert!(shown.starts_with("go build -C ./a ") && shown.ends_with("-o /out/app ./"), "{shown}");
}

#[test]
fn without_modules() {
    let plain =
        "package main\nimport \"net/http\"\nfunc main() { http.ListenAndServe(\":\"+os.Getenv(\"PORT\"), nil) }\n";
    let plan = planned(&[("web.go", plain), (".godir", "example.org/web\n"), ("Procfile", "web: web")]).expect("plan");
    let build = plan.build.expect("build");
    assert!(
        build.install.is_empty()
            && build.env.iter().any(|(name, value)| name.as_str() == "GO111MODULE" && value == "off")
    );
    let others = plain.replace("import \"net/http\"", "import (\n\"net/http\"\n\"github.com/gin-gonic/gin\"\n)");
    let plan = planned(&[("web.go", &others)]).expect("plan");
    assert_eq!(plan.build.expect("build").install[1].shown(), "go mod tidy");
    assert!(plan.about.warnings[0].contains("no go.mod"));
}

#[test]
fn versions_are_the_highest_of_all() {
    let main = ("main.go", "package main\nfunc main() {}\n");
    let runtime = |text: &str| planned(&[main, ("go.mod", text)]).expect("plan").about.runtime.expect("runtime");
    assert_eq!(runtime("module a\ngo 1.19\n"), "go 1.26");
    assert_eq!(runtime("module a\ngo 1.21\ntoolchain go1.27.1\n"), "go 1.27");
}
