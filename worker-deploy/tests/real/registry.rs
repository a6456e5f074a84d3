//! A registry for releases, and images in it.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::world::env;

/// A registry without accounts: pushes go to loopback, where engines accept plain HTTP, pulls to the gateway by TLS.
pub struct Registry {
    running: Vec<Child>,
    pub push: String,
    pub pull: String,
}

impl Registry {
    /// From now on nobody answers.
    pub fn end(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.end();
    }
}

fn free_port(host: &str) -> u16 {
    std::net::TcpListener::bind((host, 0)).unwrap().local_addr().unwrap().port()
}

pub fn registry(dir: &Path) -> Registry {
    let (gateway, certs) = (env("BYOP_GATEWAY"), format!("{}/certs", env("BYOP_STATE")));
    let tls = format!("tls: {{certificate: {certs}/cert.pem, key: {certs}/key.pem}}");
    let mut running = Vec::new();
    let mut serve = |host: &str, tls: &str| {
        let address = format!("{host}:{}", free_port(host));
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {}/blobs}}}}\n\
             http:\n  addr: {address}\n  {tls}\n",
            dir.display()
        );
        let file = dir.join(format!("{host}.yml"));
        std::fs::write(&file, text).unwrap();
        let child = Command::new("docker-registry").arg("serve").arg(file).stderr(Stdio::null()).spawn().unwrap();
        running.push(child);
        address
    };
    let (push, pull) = (serve("127.0.0.1", ""), serve(&gateway, &tls));
    Registry { running, push, pull }
}

/// Runs `docker` against the environment's engine.
fn docker(args: &[&str]) -> String {
    let out = Command::new("docker").args(args).output().unwrap();
    assert!(out.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

/// An app that does what its environment and its arguments say.
const SERVER_JS: &str = r#"const http = require('http');
const [, , command, ...rest] = process.argv;
const env = process.env;
process.on('SIGTERM', () => process.exit(0));
if (command === 'say') { console.log(rest.join(' ')); process.exit(0); }
if (command === 'fail') { console.log(rest.join(' ')); process.exit(7); }
if (command === 'nap') { setTimeout(() => console.log('woke up'), 1000 * Number(rest[0])); return; }
if (command === 'wait') { setInterval(() => {}, 1000); return; }
if (env.BROKEN) { console.log('cannot start: ' + env.BROKEN); process.exit(3); }
if (env.SILENT) { setInterval(() => {}, 1000); return; }
if (env.GREEDY) { const kept = []; setInterval(() => kept.push(Buffer.alloc(8 << 20, 1)), 1); return; }
let served = 0;
http.createServer((q, r) => {
  served++;
  if (env.FAILS_AFTER && served > Number(env.FAILS_AFTER)) { r.statusCode = 500; }
  const word = q.url.startsWith('/api') ? 'api ' + env.HOSTNAME : env.WORD;
  const body = word + ' ' + env.RELEASE;
  setTimeout(() => r.end(body), q.url.startsWith('/slow') ? 4000 : 0);
}).listen(env.ELSEWHERE || env.PORT, '0.0.0.0', () => console.log('listening'));
"#;

/// Builds and pushes an image that differs by `release`, after some further `steps`; returns its digest.
pub fn image(registry: &Registry, dir: &Path, repository: &str, release: &str, steps: &str) -> String {
    let context = dir.join(format!("context-{release}"));
    std::fs::create_dir_all(&context).unwrap();
    std::fs::write(context.join("server.js"), SERVER_JS).unwrap();
    let file =
        format!("FROM node:24-slim\nENV RELEASE={release}\nCOPY server.js /\n{steps}CMD [\"node\", \"/server.js\"]\n");
    std::fs::write(context.join("Dockerfile"), file).unwrap();
    let name = format!("{}/{repository}:{release}", registry.push);
    docker(&["build", "-q", "-t", &name, context.to_str().unwrap()]);
    docker(&["push", "-q", &name]);
    let digests = docker(&["image", "inspect", "--format", "{{range .RepoDigests}}{{println .}}{{end}}", &name]);
    docker(&["image", "rm", &name]);
    let own = digests.lines().find(|d| d.starts_with(&registry.push)).unwrap().to_owned();
    own.split_once('@').unwrap().1.to_owned()
}
