//! What a new machine is told at its first start: who it is, how it is reached, and nothing more.
//!
//! Invariants: the text is written by a YAML serializer from typed values and stays below every cloud's limit; it holds the
//! machine's first host key and the first login key, and no other secret, since everything on the machine can read it from
//! the cloud's metadata. The host key is changed at first contact (ADR 11); of the login key only the public half is here.
//! Absent: everything that the bootstrap does.

use std::collections::BTreeMap;

use secrecy::ExposeSecret;
use serde::Serialize;
use shared::{
    failure::Failure,
    providers::{Wanted, cloud::MachineName},
};

/// The login on machines that we make.
pub const USER: &str = "byop";

const HEADER: &str = "#cloud-config\n";

/// Only what we need of sshd; read before what a system's own files say.
const SSHD: &str = "\
PermitRootLogin no
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthenticationMethods publickey
AllowUsers byop
MaxAuthTries 3
LoginGraceTime 20
X11Forwarding no
AllowAgentForwarding no
HostKey /etc/ssh/ssh_host_ed25519_key
";

/// Where cloud-init writes what `ssh_pwauth` says. What stands there already needs no restart of an sshd that answers.
const CLOUD_INIT_SSHD: (&str, &str) = ("/etc/ssh/sshd_config.d/50-cloud-init.conf", "PasswordAuthentication no\n");

#[derive(Serialize)]
struct CloudConfig<'a> {
    hostname: String,
    disable_root: bool,
    ssh_pwauth: bool,
    /// Keys that a cloud knows would be let in as root or kept there for later.
    allow_public_ssh_keys: bool,
    ssh_deletekeys: bool,
    ssh_genkeytypes: [&'a str; 1],
    ssh_keys: BTreeMap<&'a str, String>,
    users: [User<'a>; 1],
    write_files: [File<'a>; 3],
}

#[derive(Serialize)]
struct User<'a> {
    name: &'a str,
    shell: &'a str,
    lock_passwd: bool,
    sudo: &'a str,
    ssh_authorized_keys: [&'a str; 1],
}

#[derive(Serialize)]
struct File<'a> {
    path: &'a str,
    permissions: &'a str,
    content: String,
}

/// The user-data of a machine. Fails when the keys are missing or the text is longer than `limit` bytes.
pub fn render(wanted: &Wanted, name: &MachineName, limit: usize) -> Result<String, Failure> {
    let missing = || Failure::permanent("host_key_missing", "the server's host key is missing");
    let private = wanted.host_private.as_ref().ok_or_else(missing)?;
    let identity =
        serde_json::json!({ "install": name.install.as_str(), "server": name.server, "generation": name.generation });
    let config = CloudConfig {
        hostname: name.to_string(),
        disable_root: true,
        ssh_pwauth: false,
        allow_public_ssh_keys: false,
        ssh_deletekeys: true,
        ssh_genkeytypes: ["ed25519"],
        ssh_keys: BTreeMap::from([
            ("ed25519_private", private.expose_secret().to_owned()),
            ("ed25519_public", wanted.host_public.trim().to_owned()),
        ]),
        users: [User {
            name: USER,
            shell: "/bin/bash",
            lock_passwd: true,
            sudo: "ALL=(ALL) NOPASSWD:ALL",
            ssh_authorized_keys: [wanted.login_public.trim()],
        }],
        write_files: [
            File { path: "/etc/byop/identity.json", permissions: "0644", content: format!("{identity}\n") },
            File { path: "/etc/ssh/sshd_config.d/00-byop.conf", permissions: "0600", content: SSHD.to_owned() },
            File { path: CLOUD_INIT_SSHD.0, permissions: "0600", content: CLOUD_INIT_SSHD.1.to_owned() },
        ],
    };
    let yaml = serde_yaml_ng::to_string(&config)
        .map_err(|_| Failure::permanent("user_data_invalid", "the machine's user-data cannot be written"))?;
    let text = format!("{HEADER}{yaml}");
    if text.len() > limit {
        return Err(Failure::permanent("user_data_too_long", "the machine's user-data is longer than the cloud takes"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

    use serde_yaml_ng::Value;
    use shared::{
        domain::{ClientId, ServerId},
        providers::Spec,
        ssh::{KeyPair, generate_key},
    };

    use super::*;

    fn wanted() -> Wanted {
        wanted_by(&generate_key("l").expect("key"))
    }

    fn wanted_by(login: &KeyPair) -> Wanted {
        let host = generate_key("h").expect("key");
        Wanted {
            server: ServerId::new(),
            client: ClientId::new(),
            spec: Spec::default(),
            address: None,
            host_public: host.public,
            host_private: Some(host.private),
            login_public: login.public.clone(),
        }
    }

    fn name(wanted: &Wanted) -> MachineName {
        MachineName { install: "00112233aa".parse().expect("install"), server: wanted.server, generation: 2 }
    }

    #[test]
    fn it_reads_back_to_what_it_was_made_of_and_is_small() {
        let wanted = wanted();
        let text = render(&wanted, &name(&wanted), 16_384).expect("user-data");
        assert!(text.starts_with("#cloud-config\n") && text.len() < 4_096, "{} bytes", text.len());
        let read: Value = serde_yaml_ng::from_str(&text).expect("YAML");
        let private = wanted.host_private.as_ref().expect("key").expose_secret().to_owned();
        assert_eq!(read["ssh_keys"]["ed25519_private"], Value::from(private));
        assert_eq!(read["users"][0]["ssh_authorized_keys"][0], Value::from(wanted.login_public.trim()));
        assert_eq!(read["hostname"], Value::from(name(&wanted).to_string()));
        assert_eq!(read["disable_root"], Value::from(true));
    }

    #[test]
    fn nobody_else_is_let_in_and_sshd_is_started_once() {
        let wanted = wanted();
        let text = render(&wanted, &name(&wanted), 16_384).expect("user-data");
        let read: Value = serde_yaml_ng::from_str(&text).expect("YAML");
        assert_eq!(read["users"].as_sequence().map(Vec::len), Some(1), "no user of the image's");
        assert_eq!(read["allow_public_ssh_keys"], Value::from(false));
        // cloud-init restarts an sshd that is up already when it has to write this file itself.
        let files = read["write_files"].as_sequence().expect("files");
        let file = files.iter().find(|f| f["path"] == "/etc/ssh/sshd_config.d/50-cloud-init.conf").expect("file");
        assert_eq!(file["content"], Value::from("PasswordAuthentication no\n"));
        assert_eq!(read["ssh_pwauth"], Value::from(false));
    }

    #[test]
    fn one_byte_more_than_the_limit_is_refused() {
        let wanted = wanted();
        let length = render(&wanted, &name(&wanted), usize::MAX).expect("user-data").len();
        assert!(render(&wanted, &name(&wanted), length).is_ok());
        let refused = render(&wanted, &name(&wanted), length - 1);
        assert!(matches!(refused, Err(Failure::Permanent { code: "user_data_too_long", .. })), "{refused:?}");
    }
    #[test]
    #[ignore = "writes what scripts/e2e/vm starts a real machine with into the folder BYOP_TEST_VM_DIR"]
    fn it_is_written_for_a_real_machine() {
        let dir = PathBuf::from(std::env::var("BYOP_TEST_VM_DIR").expect("BYOP_TEST_VM_DIR"));
        let login = generate_key("l").expect("key");
        let wanted = wanted_by(&login);
        let name = name(&wanted);
        // No cloud takes less than Amazon's.
        let text = render(&wanted, &name, 16_384).expect("user-data");
        let write = |file: &str, content: &str| fs::write(dir.join(file), content).expect(file);
        write("user-data", &text);
        write("name", &name.to_string());
        write("server", &name.server.to_string());
        write("host.pub", &wanted.host_public);
        write("login.pub", &login.public);
        write("login", login.private.expose_secret());
        fs::set_permissions(dir.join("login"), fs::Permissions::from_mode(0o600)).expect("mode");
    }
}
