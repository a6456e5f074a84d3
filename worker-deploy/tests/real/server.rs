//! What is found on the server of a test, from inside and from outside.

use std::time::Duration;

use shared::{domain::DeploymentId, ssh::Exec};

use crate::world::{World, env};

impl World {
    /// What a visitor of the domain sees, with the certificate verified, and which release answered.
    pub async fn visit(&self) -> (String, String) {
        let answer = self.ask("/").await;
        let release = answer.headers()["x-byop-release"].to_str().unwrap().to_owned();
        (answer.text().await.unwrap(), release)
    }

    pub async fn get_page(&self, path: &str) -> String {
        self.ask(path).await.text().await.unwrap()
    }

    async fn ask(&self, path: &str) -> reqwest::Response {
        let ip = self.server().await.address.unwrap();
        let pem = std::fs::read(env("BYOP_VERIFY_CA_FILE")).unwrap();
        let roots = reqwest::Certificate::from_pem_bundle(&pem).unwrap();
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only(roots)
            .resolve(&self.domain, format!("{ip}:443").parse().unwrap())
            .timeout(Duration::from_secs(10))
            .build()
            .unwrap();
        client.get(format!("https://{}{path}", self.domain)).send().await.unwrap()
    }

    /// The compose projects of releases on the server.
    pub async fn projects(&self) -> Vec<String> {
        let argv = ["docker", "ps", "-a", "--filter", "label=byop.app", "--format", "{{.Label \"byop.deployment\"}}"];
        let text = self.session().await.run(&argv, Exec::default()).await.unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// The folders of releases on the server, by their ids.
    pub async fn release_dirs(&self) -> Vec<String> {
        let dir = format!("/opt/byop/apps/{}", self.app);
        let all = self.session().await.run(&["ls", &dir], Exec::default()).await.unwrap();
        all.lines().filter(|name| name.parse::<DeploymentId>().is_ok()).map(str::to_owned).collect()
    }

    /// Nothing of the server can be reached from outside but by way of Traefik.
    pub async fn assert_only_the_edge_publishes(&self) {
        let argv = ["docker", "ps", "--format", "{{.Label \"byop.edge\"}} {{.Names}} {{.Ports}}"];
        let all = self.session().await.run(&argv, Exec::default()).await.unwrap();
        let open: Vec<&str> = all.lines().filter(|line| line.contains("->")).collect();
        assert!(open.len() == 1 && open[0].starts_with("true byop-edge-traefik"), "{all}");
        let mounts =
            ["sh", "-c", "docker inspect $(docker ps -q --filter label=byop.edge) --format '{{json .Mounts}}'"];
        let mounts = self.session().await.run(&mounts, Exec::default()).await.unwrap();
        assert!(!mounts.contains("docker.sock"), "{mounts}");
    }

    /// What belongs to releases is read by root alone.
    pub async fn assert_files_are_private(&self) {
        let find =
            format!("find /opt/byop/apps/{} -type f -perm /077; find /opt/byop/apps -maxdepth 1 -perm /077", self.app);
        let open = self.session().await.run(&["sh", "-c", &find], Exec::default()).await.unwrap();
        assert_eq!(open, "");
    }

    /// Of the app's releases nothing is left anywhere but what belongs to the one that is live.
    pub async fn assert_only_left(&self, live: DeploymentId) {
        const ALL: &str = r#"docker ps -a --format '{{.Names}}'; docker network ls --format '{{.Name}}'; docker volume ls -q
          ls -A /run/byop/units; cd /opt/byop/apps && find . | sed 's,.*/,,'; ls -A /etc/cron.d /opt/byop/edge/routes 2>/dev/null
          ls -A /run/byop/pull 2>/dev/null | sed 's/^/pull of /'"#;
        let session = self.session().await;
        let all = session.run(&["sh", "-c", ALL], Exec::default()).await.unwrap();
        let own = [live.to_string(), format!("d-{}", live.0.simple())];
        // Steps of the live one name what it replaced.
        let strange: Vec<&str> = all.lines().filter(|name| !own.iter().any(|own| name.starts_with(own))).collect();
        for other in self.deployments().await {
            let names = [other.to_string(), other.0.simple().to_string()];
            let left = strange.iter().find(|left| names.iter().any(|name| left.contains(name)));
            assert!(left.is_none() || other == live, "{left:?} is left of {other}");
        }
        let unfinished = [".new", ".tmp"];
        let left =
            strange.iter().find(|left| left.starts_with("pull of ") || unfinished.iter().any(|u| left.contains(u)));
        assert_eq!(left, None);
        let edge = all.lines().filter(|name| *name == format!("{}.yaml", self.app.0.simple())).count();
        assert_eq!(edge, 1, "the routes are where they are looked for: {all}");
    }

    pub async fn assert_no_password_left(&self) {
        let argv = [
            "sh",
            "-c",
            "find / -xdev -name config.json -path '*byop*'; find /run/byop /root/.docker -name config.json 2>/dev/null; true",
        ];
        assert_eq!(self.session().await.run(&argv, Exec::default()).await.unwrap(), "");
    }
}
