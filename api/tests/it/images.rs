//! Several images of one build: what is asked for, what is shown, and which component gets which.

use serde_json::{Value, json};
use shared::{
    domain::component::{BuildPart, BuildSource},
    queue::JobKind,
};

use crate::{
    fixture::{Fixture, Reply, text},
    replay::{image, local, work},
};

fn source(directory: &str, dockerfile: Option<&str>) -> BuildPart {
    BuildPart::Source(BuildSource {
        base_directory: directory.parse().expect("a path"),
        dockerfile_path: dockerfile.map(|path| path.parse().expect("a path")),
    })
}

fn digest(number: u64) -> String {
    format!("sha256:{number:064}")
}

/// An app of a client that has a server.
struct Scene {
    t: Fixture,
    token: String,
    app: String,
    server: String,
}

impl Scene {
    async fn start() -> Self {
        let t = Fixture::start().await;
        let token = t.client().await;
        let (app, customer) = (t.make_app(&token).await, t.make_customer(&token).await);
        let server = t.make_server(&token, &customer).await;
        Self { t, token, app, server }
    }

    async fn declare(&self, name: &str, spec: Value) {
        let path = format!("/v1/apps/{}/components/{name}", self.app);
        self.t.call("PUT", &path).token(&self.token).body(spec).send().await.ok(200);
    }

    async fn ask(&self) -> Value {
        self.t.post(&self.token, &format!("/v1/apps/{}/builds", self.app), json!({})).await.ok(202)
    }

    /// A build whose worker makes these images; as the API shows it.
    async fn build(&self, images: Vec<(BuildPart, u64)>) -> Value {
        let id = text(&self.ask().await["id"]);
        let made = images.into_iter().map(|(part, digest)| image(part, digest)).collect();
        work(&self.t, JobKind::Build, local(&self.t, vec![Ok(made)]), &id, "succeeded").await;
        self.t.get(&self.token, &format!("/v1/builds/{id}")).await.ok(200)
    }

    async fn deploy(&self, more: Value) -> Reply {
        let mut request = json!({"server_id": self.server, "domain": "shop.example.com"});
        request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        self.t.post(&self.token, &format!("/v1/apps/{}/deployments", self.app), request).await
    }

    /// The frozen components of a deployment, by name: digest and port.
    async fn frozen(&self, deployment: &Value) -> Vec<(String, String, Value)> {
        let plan = shared::store::sql("select plan from deployments where id = $1")
            .text(text(&deployment["id"]))
            .fetch_one(&self.t.app.db, |r| r.text("plan"))
            .await
            .expect("a plan");
        let plan: Value = serde_json::from_str(&plan).expect("JSON");
        let one = |frozen: &Value| {
            let (component, built) = (&frozen["component"], &frozen["image"]["built"]);
            (text(&component["name"]), text(&built["digest"]), component["port"].clone())
        };
        plan["components"].as_array().expect("components").iter().map(one).collect()
    }
}

#[tokio::test]
async fn each_component_gets_the_image_of_its_part() {
    let s = Scene::start().await;
    s.declare("web", json!({"kind": "web", "base_directory": "web"})).await;
    s.declare("api", json!({"kind": "web", "path": "/api", "base_directory": "api", "port": 8000})).await;
    let jobs = json!({"kind": "worker", "base_directory": "api", "dockerfile_path": "Dockerfile.jobs"});
    s.declare("jobs", jobs).await;
    s.declare("mail", json!({"kind": "worker", "base_directory": "api", "command": ["mail"]})).await;
    let parts = [source("api", None), source("api", Some("Dockerfile.jobs")), source("web", None)];
    let built = s.build(parts.iter().cloned().zip([1, 2, 3]).collect()).await;
    assert_eq!((&built["image_digest"], &built["image_tag"]), (&json!(digest(1)), &json!("t1")));
    let image = |base: &str, number: u64| {
        json!({"base_directory": base, "tag": format!("t{number}"), "digest": digest(number), "stack": "node",
               "port": 3000 + number})
    };
    let mut second = image("api", 2);
    second["dockerfile_path"] = "Dockerfile.jobs".into();
    assert_eq!(built["images"], json!([image("api", 1), second, image("web", 3)]));
    let listed = s.t.get(&s.token, &format!("/v1/apps/{}/builds", s.app)).await.ok(200);
    assert!(listed["items"][0].get("images").is_none());

    let deployed = s.deploy(json!({})).await.ok(202);
    let frozen = |name: &str, number: u64, port: Value| (name.to_owned(), digest(number), port);
    // What the app says of its own image's port (3000) is not said of other parts'.
    let expected = [
        frozen("api", 1, json!(8000)),
        frozen("jobs", 2, Value::Null),
        frozen("mail", 1, Value::Null),
        frozen("web", 3, json!(3003)),
    ];
    assert_eq!(s.frozen(&deployed).await, expected);
    // The deployment is known by the component of the whole domain.
    assert_eq!((&deployed["image_digest"], &deployed["port"]), (&json!(digest(3)), &json!(3003)));
    assert_eq!(deployed["image_tag"], "t3");
    // Any of the images names the build.
    for number in [1, 2, 3] {
        let chosen = s.deploy(json!({"image_digest": digest(number)})).await.ok(202);
        assert_eq!((&chosen["build_id"], &chosen["image_digest"]), (&built["id"], &json!(digest(3))));
    }
    let another = json!({"image_digest": digest(9), "build_id": built["id"]});
    s.deploy(another).await.problem(409, "image_mismatch");
    s.t.close().await;
}

#[tokio::test]
async fn a_component_that_came_after_the_build_has_to_be_built() {
    let s = Scene::start().await;
    s.declare("web", json!({"kind": "web", "base_directory": "web"})).await;
    s.deploy(json!({})).await.problem(409, "no_image");
    let first = s.build(vec![(source("web", None), 1)]).await;
    s.declare("jobs", json!({"kind": "worker", "base_directory": "jobs"})).await;
    let refused = s.deploy(json!({})).await;
    refused.problem(409, "component_not_built");
    assert!(refused.text.contains("component jobs") && refused.text.contains("Build the app"), "{}", refused.text);
    let second = s.build(vec![(source("jobs", None), 2), (source("web", None), 3)]).await;
    assert_eq!(s.deploy(json!({})).await.ok(202)["build_id"], second["id"]);
    s.deploy(json!({"build_id": first["id"]})).await.problem(409, "component_not_built");
    // The app's own image is not made when nobody needs it.
    s.declare("own", json!({"kind": "worker"})).await;
    s.deploy(json!({})).await.problem(409, "component_not_built");
    s.build(vec![(BuildPart::App, 4), (source("jobs", None), 2), (source("web", None), 3)]).await;
    let deployed = s.deploy(json!({})).await.ok(202);
    assert_eq!(s.frozen(&deployed).await[1], ("own".to_owned(), digest(4), Value::Null));
    s.t.close().await;
}

#[tokio::test]
async fn a_build_of_other_parts_is_another_build() {
    let s = Scene::start().await;
    let first = s.ask().await;
    assert_eq!(s.ask().await["id"], first["id"]);
    // What runs a public image needs no build, and one that is asked for all the same makes the app's own image.
    let public = format!("docker.io/library/redis@sha256:{}", "a".repeat(64));
    s.declare("web", json!({"kind": "web", "image": public, "port": 80})).await;
    assert_eq!(s.ask().await["id"], first["id"]);
    s.declare("web", json!({"kind": "web", "base_directory": "web"})).await;
    let second = s.ask().await;
    assert_eq!(second["already_active"], false);
    assert_eq!(s.ask().await["id"], second["id"]);
    assert!(second["id"] != first["id"], "{second}");
    s.declare("web", json!({"kind": "web", "base_directory": "./web/", "replicas": 2})).await;
    assert_eq!(s.ask().await["id"], second["id"], "the part is the same");
    s.t.close().await;
}
