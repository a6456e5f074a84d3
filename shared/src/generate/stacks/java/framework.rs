//! Frameworks of the JVM: how each is told its port, and where it answers that it is well.

/// What is particular to a framework.
#[derive(Debug, PartialEq, Eq)]
pub struct Framework {
    pub name: &'static str,
    /// A word of a build file that speaks for it.
    word: &'static str,
    /// The variable that sets its port, beside `PORT`.
    pub port: Option<&'static str>,
    /// A variable that lets it listen on every address, where its own choice is another in production.
    pub host: Option<&'static str>,
    /// The module that answers health checks, and the path.
    health: Option<(&'static str, &'static str)>,
    /// Whether it starts an HTTP server only together with one of these words.
    web: &'static [&'static str],
}

const fn plain(name: &'static str, word: &'static str) -> Framework {
    Framework { name, word, port: None, host: None, health: None, web: &[] }
}

static FRAMEWORKS: &[Framework] = &[
    Framework {
        port: Some("QUARKUS_HTTP_PORT"),
        host: Some("QUARKUS_HTTP_HOST"),
        health: Some(("smallrye-health", "/q/health/live")),
        ..plain("quarkus", "io.quarkus")
    },
    Framework {
        port: Some("MICRONAUT_SERVER_PORT"),
        health: Some(("micronaut-management", "/health")),
        ..plain("micronaut", "io.micronaut")
    },
    Framework {
        port: Some("SERVER_PORT"),
        health: Some(("spring-boot-starter-actuator", "/actuator/health")),
        web: &[
            "starter-web",
            "starter-jetty",
            "starter-undertow",
            "starter-tomcat",
            "starter-jersey",
            "starter-graphql",
            "starter-data-rest",
            "starter-actuator",
            "vaadin",
        ],
        ..plain("spring-boot", "org.springframework.boot")
    },
    plain("ktor", "io.ktor"),
    plain("javalin", "io.javalin"),
    plain("spark", "com.sparkjava"),
    plain("http4k", "org.http4k"),
    plain("vert.x", "io.vertx"),
    Framework { port: Some("SERVER_PORT"), ..plain("helidon", "io.helidon") },
];

/// The framework that the build files name.
pub fn recognise(manifests: &str) -> Option<&'static Framework> {
    // A version catalogue names what a build file only refers to.
    let aliases = [("libs.plugins.ktor", "ktor"), ("libs.plugins.spring.boot", "spring-boot")];
    let by_alias = aliases.iter().find(|(word, _)| manifests.contains(word)).map(|(_, name)| *name);
    FRAMEWORKS
        .iter()
        .find(|framework| manifests.contains(framework.word))
        .or_else(|| FRAMEWORKS.iter().find(|framework| Some(framework.name) == by_alias))
}

impl Framework {
    /// The path that answers without a login, when the app has the module for it.
    pub fn health(&self, manifests: &str, settings: &str) -> Option<&'static str> {
        let moved =
            ["management.server.port", "management.endpoints.web.base-path", "context-path", "base-path:", "root-path"];
        let guarded = manifests.contains("spring-boot-starter-security") || manifests.contains("oauth2");
        let (module, path) = self.health?;
        (manifests.contains(module) && !guarded && !moved.iter().any(|key| settings.contains(key))).then_some(path)
    }

    /// Whether it answers HTTP, as far as the build files tell.
    pub fn serves(&self, manifests: &str) -> bool {
        self.web.is_empty() || self.web.iter().any(|word| manifests.contains(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_their_words() {
        let name = |text: &str| recognise(text).map(|framework| framework.name);
        assert_eq!(name("<groupId>org.springframework.boot</groupId>"), Some("spring-boot"));
        assert_eq!(name("alias(libs.plugins.ktor)"), Some("ktor"));
        assert_eq!(name("implementation(\"io.javalin:javalin:6.3.0\")"), Some("javalin"));
        assert_eq!(name("junit"), None);
    }

    #[test]
    fn health() {
        let spring = recognise("org.springframework.boot").expect("known");
        let path = |manifests, settings| spring.health(manifests, settings);
        assert_eq!(path("spring-boot-starter-actuator", ""), Some("/actuator/health"));
        assert_eq!(path("spring-boot-starter-web", ""), None);
        assert_eq!(path("spring-boot-starter-actuator spring-boot-starter-security", ""), None);
        assert_eq!(path("spring-boot-starter-actuator", "management.server.port=9000"), None);
        assert!(spring.serves("spring-boot-starter-webflux") && !spring.serves("spring-boot-starter-amqp"));
    }
}
