//! What an app depends on: what its manifests ask for, and what its lock file adds to that.

use super::{lock::Lock, requirements::Asked};

#[derive(Clone, Debug, Default)]
pub struct Deps {
    pub asked: Asked,
    pub lock: Lock,
}

impl Deps {
    /// Whether the running app gets the package. `name[extra]` asks for a direct dependency with that extra.
    pub fn has(&self, name: &str) -> bool {
        self.asked.names.contains(name) || self.lock.packages.contains_key(name)
    }

    pub fn any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.has(name))
    }

    /// Whether the app itself asks for one of the packages.
    pub fn asks_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.asked.names.contains(*name))
    }

    /// The first numbers of the version that is installed for sure.
    pub fn version(&self, name: &str) -> Option<(u32, u32, u32)> {
        let text = self.lock.packages.get(name).or_else(|| self.asked.pins.get(name))?;
        let mut numbers = text.split(['.', '-', '+']).map(|part| {
            let digits = part.find(|c: char| !c.is_ascii_digit()).map_or(part, |end| &part[..end]);
            digits.parse::<u32>().ok()
        });
        let mut next = || numbers.next().flatten();
        Some((next()?, next().unwrap_or(0), next().unwrap_or(0)))
    }

    /// Data services that the libraries speak to.
    pub fn needs(&self) -> Vec<&'static str> {
        const SERVICES: &[(&str, &[&str])] = &[
            ("postgres", &["psycopg", "psycopg2", "psycopg2-binary", "asyncpg", "pg8000", "aiopg"]),
            ("mysql", &["mysqlclient", "pymysql", "aiomysql", "asyncmy", "mysql-connector-python", "mariadb"]),
            (
                "redis",
                &["redis", "rq", "django-redis", "aioredis", "arq", "channels-redis", "celery[redis]", "django-rq"],
            ),
            ("mongodb", &["pymongo", "motor", "mongoengine", "beanie", "odmantic"]),
            ("rabbitmq", &["pika", "aio-pika"]),
        ];
        SERVICES.iter().filter(|(_, names)| self.asks_any(names)).map(|(service, _)| *service).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::source::SourceTree;

    #[test]
    fn versions_and_services() {
        let list = "psycopg2-binary==2.9.9\ncelery[redis]\nflask==3.1rc1\nx==1";
        let tree = SourceTree::in_memory([("requirements.txt", list)]);
        let deps = Deps { asked: Asked::read(&tree), lock: Lock::default() };
        assert_eq!(deps.version("psycopg2-binary"), Some((2, 9, 9)));
        assert_eq!(
            (deps.version("flask"), deps.version("x"), deps.version("celery")),
            (Some((3, 1, 0)), Some((1, 0, 0)), None)
        );
        assert_eq!(deps.needs(), ["postgres", "redis"]);
    }
}
