//! What a Go app is made with: its framework, the data services that it talks to, and libraries of C that it needs.

use super::module::Module;

/// The module's path and the framework's name, the most telling first.
const FRAMEWORKS: &[(&str, &str)] = &[
    ("github.com/gin-gonic/gin", "gin"),
    ("github.com/labstack/echo", "echo"),
    ("github.com/gofiber/fiber", "fiber"),
    ("github.com/go-chi/chi", "chi"),
    ("github.com/beego/beego", "beego"),
    ("github.com/kataras/iris", "iris"),
    ("github.com/pocketbase/pocketbase", "pocketbase"),
    ("github.com/danielgtaylor/huma", "huma"),
    ("github.com/valyala/fasthttp", "fasthttp"),
    ("github.com/gorilla/mux", "gorilla"),
    ("github.com/julienschmidt/httprouter", "httprouter"),
    ("connectrpc.com/connect", "connect"),
];

const SERVICES: &[(&str, &str)] = &[
    ("github.com/lib/pq", "postgres"),
    ("github.com/jackc/pgx", "postgres"),
    ("gorm.io/driver/postgres", "postgres"),
    ("github.com/go-sql-driver/mysql", "mysql"),
    ("gorm.io/driver/mysql", "mysql"),
    ("github.com/redis/go-redis", "redis"),
    ("github.com/go-redis/redis", "redis"),
    ("github.com/gomodule/redigo", "redis"),
    ("go.mongodb.org/mongo-driver", "mongodb"),
    ("github.com/rabbitmq/amqp091-go", "rabbitmq"),
    ("github.com/nats-io/nats.go", "nats"),
    ("github.com/segmentio/kafka-go", "kafka"),
    ("github.com/confluentinc/confluent-kafka-go", "kafka"),
];

/// A module with C in it: what its build needs beside a compiler, what it needs when it runs.
pub struct Library {
    module: &'static str,
    pub build: &'static [&'static str],
    pub run: &'static [&'static str],
}

const LIBRARIES: &[Library] = &[
    Library { module: "github.com/mattn/go-sqlite3", build: &[], run: &[] },
    Library { module: "github.com/confluentinc/confluent-kafka-go", build: &[], run: &[] },
    Library { module: "github.com/marcboeker/go-duckdb", build: &["g++"], run: &["libstdc++6"] },
    Library { module: "github.com/davidbyttow/govips", build: &["pkg-config", "libvips-dev"], run: &["libvips42"] },
    Library { module: "github.com/h2non/bimg", build: &["pkg-config", "libvips-dev"], run: &["libvips42"] },
    Library {
        module: "gopkg.in/gographics/imagick",
        build: &["pkg-config", "libmagickwand-dev"],
        run: &["libmagickwand-6.q16-6"],
    },
    Library { module: "github.com/pebbe/zmq4", build: &["pkg-config", "libzmq3-dev"], run: &["libzmq5"] },
];

/// The framework; one that only another module needs does not count.
pub fn framework(module: &Module, sources: &[(String, String)]) -> Option<&'static str> {
    let direct = |path: &str| module.direct.iter().any(|known| known.starts_with(path));
    let imported = |path: &str| sources.iter().any(|(_, text)| text.contains(&format!("\"{path}")));
    let named = FRAMEWORKS.iter().find(|(path, _)| direct(path) && imported(path)).map(|(_, name)| *name);
    let own = || imported("net/http\"").then_some("net/http");
    named.or_else(own).or_else(|| imported("google.golang.org/grpc").then_some("grpc"))
}

pub fn services(module: &Module) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (path, service) in SERVICES {
        let known = module.direct.iter().any(|direct| direct.starts_with(path));
        if known && !found.iter().any(|name| name == service) {
            found.push((*service).to_owned());
        }
    }
    found
}

pub fn libraries(module: &Module) -> Vec<&'static Library> {
    LIBRARIES.iter().filter(|library| module.needs(library.module)).collect()
}
