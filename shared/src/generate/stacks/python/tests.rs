use super::*;
use crate::{
    domain::RelPath,
    generate::{recipe::Wishes, source::SourceTree},
};

fn planned(files: &[(&str, &str)], at: &str) -> Result<BuildPlan, GenerateError> {
    let tree = SourceTree::in_memory(files.iter().copied());
    let wishes = Wishes::default();
    let look = Look::new(&tree, &at.parse().expect("path"), &wishes);
    Python.plan(&look)
}

fn started(files: &[(&str, &str)]) -> String {
    match planned(files, "") {
        Ok(plan) => {
            let port = plan.runtime.port.map_or_else(|| "-".to_owned(), |port| port.to_string());
            format!("{} | {port} | {}", plan.runtime.start.join(" "), plan.about.framework.unwrap_or_default())
        }
        Err(error) => error.code().into(),
    }
}

fn sure(files: &[(&str, &str)]) -> Option<u8> {
    let tree = SourceTree::in_memory(files.iter().copied());
    let wishes = Wishes::default();
    Python.detect(&Look::new(&tree, &RelPath::root(), &wishes)).map(|candidate| candidate.confidence)
}

const FLASK: (&str, &str) = ("app.py", "app = Flask(__name__)");

#[test]
fn starts() {
    let gunicorn = "gunicorn --bind 0.0.0.0:8000 --worker-tmp-dir /dev/shm --threads 4";
    assert_eq!(started(&[FLASK, ("requirements.txt", "flask")]), format!("{gunicorn} app:app | 8000 | flask"));
    assert_eq!(
        started(&[("shop/__init__.py", "def create_app():\n  return Flask(__name__)"), ("requirements.txt", "flask")]),
        format!("{gunicorn} shop:create_app() | 8000 | flask")
    );
    let asgi = "uvicorn --host 0.0.0.0 --port 8000";
    assert_eq!(started(&[("main.py", "app = FastAPI()")]), format!("{asgi} main:app | 8000 | fastapi"));
    assert_eq!(
        started(&[("main.py", "def create_app():\n  return FastAPI()")]),
        format!("{asgi} --factory main:create_app | 8000 | fastapi")
    );
    assert_eq!(
        started(&[("main.py", "app = Quart(__name__)")]),
        "hypercorn --bind 0.0.0.0:8000 main:app | 8000 | quart"
    );
    assert_eq!(
        started(&[("main.py", "app = Sanic('x')")]),
        "sanic --host 0.0.0.0 --port 8000 main:app --single-process | 8000 | sanic"
    );
    assert_eq!(
        started(&[("app.py", "import streamlit as st")]),
        "streamlit run --server.address 0.0.0.0 --server.port 8000 app.py --server.headless true --browser.gatherUsageStats false | 8000 | streamlit"
    );
    assert_eq!(
        started(&[("server.py", "import http.server\nPORT = 8080\nHTTPServer(('', PORT), H)")]),
        "python3 server.py | 8080 | http.server"
    );
    assert_eq!(started(&[("bot.py", "client.run(x)"), ("requirements.txt", "discord.py")]), "python3 bot.py | - | ");
    assert_eq!(
        started(&[("jobs.py", "app = Celery('x')"), ("requirements.txt", "celery")]),
        "celery --app jobs:app worker --loglevel info | - | celery"
    );
    assert_eq!(started(&[("server.py", "HTTPServer(('localhost', 80), H)")]), "app_unsupported");
    assert_eq!(started(&[("requirements.txt", "flask"), ("lib/x.py", "")]), "start_not_found");
}

#[test]
fn files_of_other_platforms_come_first() {
    let web = ("web.py", "import http.server\nport = int(os.getenv('PORT', '5000'))\nHTTPServer(('', port), H)");
    assert_eq!(
        started(&[web, ("Procfile", "web: python3 -u web.py x # y")]),
        "python3 -u web.py x | 5000 | http.server"
    );
    let gunicorn = started(&[FLASK, ("requirements.txt", "flask\ngunicorn"), ("Procfile", "web: gunicorn app:app")]);
    assert_eq!(gunicorn, "gunicorn --bind 0.0.0.0:8000 app:app | 8000 | flask");
    assert_eq!(started(&[("jobs.py", ""), ("Procfile", "worker: python jobs.py")]), "python jobs.py | - | ");
    let flask_run = started(&[FLASK, ("Procfile", "web: flask run")]);
    assert!(flask_run.starts_with("gunicorn"), "{flask_run}");
}

#[test]
fn how_sure_it_is() {
    assert_eq!(sure(&[FLASK, ("requirements.txt", "flask")]), Some(90));
    assert_eq!(sure(&[FLASK, ("package.json", "{}"), ("requirements.txt", "flask")]), Some(90));
    assert_eq!(
        sure(&[("package.json", "{}"), ("api/index.py", "app = Flask(__name__)"), ("requirements.txt", "flask")]),
        Some(70)
    );
    assert_eq!(sure(&[("package.json", "{}"), ("requirements.txt", "x")]), Some(50));
    assert_eq!(sure(&[FLASK, ("Procfile", "web: gunicorn app:app")]), Some(95));
    assert_eq!(sure(&[("server.py", "import http.server\nHTTPServer(('', 1), H)")]), Some(45));
    assert_eq!(sure(&[("tool.py", "x = 1")]), None);
    assert_eq!(sure(&[("index.html", "")]), None);
}

#[test]
fn release_steps_and_needs() {
    let told = |files: &[(&str, &str)]| {
        let about = planned(files, "").expect("plan").about;
        let steps: Vec<String> = about.release.iter().map(|step| step.join(" ")).collect();
        format!("{} / {}", steps.join("; "), about.needs.join(" "))
    };
    let manage = ("manage.py", "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 's.settings')\nfrom django import x");
    let wsgi = ("s/wsgi.py", "application = get_wsgi_application()");
    assert_eq!(
        told(&[manage, wsgi, ("requirements.txt", "django\npsycopg[binary]")]),
        "python3 manage.py migrate --noinput / postgres"
    );
    assert_eq!(
        told(&[manage, wsgi, ("Procfile", "release: ./manage.py migrate\nweb: gunicorn s.wsgi")]),
        "./manage.py migrate / "
    );
    let below = [("site/manage.py", manage.1), ("site/s/wsgi.py", wsgi.1)];
    assert_eq!(told(&below), "python3 manage.py migrate --noinput / ");
    let started = [below[0], below[1], ("Procfile", "web: gunicorn --chdir site s.wsgi")];
    assert_eq!(told(&started), "python3 site/manage.py migrate --noinput / ");
    let flask = ("shop.py", "app = Flask(__name__)");
    assert_eq!(
        told(&[flask, ("migrations/env.py", ""), ("requirements.txt", "flask-migrate\nredis")]),
        "flask --app shop:app db upgrade / redis"
    );
    assert_eq!(
        told(&[("m.py", "app = FastAPI()"), ("alembic.ini", ""), ("requirements.txt", "alembic\nasyncpg")]),
        "alembic upgrade head / postgres"
    );
}

#[test]
fn a_member_of_a_workspace() {
    let files = [
        ("uv.lock", "requires-python = '>=3.12,<3.13'"),
        ("pyproject.toml", "[tool.uv.workspace]\nmembers = ['api']"),
        (
            "api/pyproject.toml",
            "[project]\nname = 'api'\ndependencies = ['fastapi']\n[tool.fastapi]\nentrypoint = 'app.main:app'",
        ),
        ("api/app/main.py", "app = FastAPI()"),
    ];
    let plan = planned(&files, "api").expect("plan");
    assert_eq!((plan.context.as_str(), plan.runtime.workdir.as_str()), ("", "/app/api"));
    assert_eq!(plan.about.runtime.as_deref(), Some("python 3.12"));
    assert!(plan.runtime.start.ends_with(&["app.main:app".to_owned()]));
}

#[test]
fn django_answers_its_hosts_only() {
    let files = [
        ("manage.py", "import django"),
        ("s/settings.py", "WSGI_APPLICATION = 's.wsgi.application'\nALLOWED_HOSTS = ['a.example']"),
        ("s/urls.py", "path('healthz', x)"),
    ];
    let health = planned(&files, "").expect("plan").runtime.health.expect("health");
    assert!(health.test.ends_with(&["8000".into(), "/healthz".into(), "500".into()]), "{:?}", health.test);
}
