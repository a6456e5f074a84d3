//! What a machine does with its user-data at its first start, as cloud-init would: a shell script made of it.
//!
//! Invariants: a key that nothing here applies is an error, so that no user-data is used of which a part was never
//! tried; text of the user-data reaches the shell quoted or in base64. Absent: most of cloud-init.

use std::collections::BTreeMap;
use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const HEADER: &str = "#cloud-config\n";

/// Arguments: mode, path, content in base64.
const PUT: &str = "\
set -eu
put() {
  mkdir -p \"$(dirname \"$2\")\"
  rm -f \"$2\"
  (umask 077 && printf %s \"$3\" | base64 -d >\"$2\")
  chmod \"$1\" \"$2\"
}
";

/// The host's name is given to the container, and root has no key that could be disabled.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CloudConfig {
    hostname: Option<String>,
    #[serde(default, rename = "disable_root")]
    _disable_root: bool,
    ssh_pwauth: Option<bool>,
    /// Containers get no keys of a cloud's.
    #[serde(default, rename = "allow_public_ssh_keys")]
    _allow_public_ssh_keys: bool,
    #[serde(default)]
    ssh_deletekeys: bool,
    #[serde(default)]
    ssh_genkeytypes: Vec<String>,
    #[serde(default)]
    ssh_keys: BTreeMap<String, String>,
    #[serde(default)]
    users: Vec<User>,
    #[serde(default)]
    write_files: Vec<File>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    name: String,
    shell: Option<String>,
    /// Without a password nobody is let in by one.
    #[serde(default, rename = "lock_passwd")]
    _lock_passwd: bool,
    sudo: Option<String>,
    #[serde(default)]
    ssh_authorized_keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    path: String,
    permissions: String,
    content: String,
}

/// What the user-data calls the machine, and the script that does the rest before sshd starts.
pub struct FirstBoot {
    pub hostname: Option<String>,
    pub script: String,
}

pub fn first_boot(user_data: &str) -> Result<FirstBoot, Failure> {
    let yaml = user_data.strip_prefix(HEADER).ok_or("the user-data is no cloud-config")?;
    let config: CloudConfig = serde_yaml_ng::from_str(yaml)?;
    let mut script = PUT.to_owned();
    for file in &config.write_files {
        put(&mut script, &file.permissions, &file.path, &file.content)?;
    }
    for user in &config.users {
        add_user(&mut script, user)?;
    }
    let sudoers: String =
        config.users.iter().filter_map(|user| Some(format!("{} {}\n", user.name, user.sudo.as_ref()?))).collect();
    if !sudoers.is_empty() {
        put(&mut script, "0440", "/etc/sudoers.d/90-cloud-init-users", &sudoers)?;
    }
    host_keys(&mut script, &config)?;
    if let Some(allowed) = config.ssh_pwauth {
        let line = format!("PasswordAuthentication {}\n", if allowed { "yes" } else { "no" });
        put(&mut script, "0600", "/etc/ssh/sshd_config.d/50-cloud-init.conf", &line)?;
    }
    Ok(FirstBoot { hostname: config.hostname, script })
}

fn host_keys(script: &mut String, config: &CloudConfig) -> Result<(), Failure> {
    if config.ssh_deletekeys {
        script.push_str("rm -f /etc/ssh/ssh_host_*\n");
    }
    for (name, key) in &config.ssh_keys {
        let (kind, part) = name.split_once('_').ok_or("a host key has no kind")?;
        let path = format!("/etc/ssh/ssh_host_{}_key", plain(kind)?);
        let key = format!("{}\n", key.trim_end());
        match part {
            "private" => put(script, "0600", &path, &key)?,
            "public" => put(script, "0644", &format!("{path}.pub"), &key)?,
            _ => return Err(format!("a host key is called {name}").into()),
        }
    }
    // Keys that are given are all there are.
    if config.ssh_keys.is_empty() {
        for kind in &config.ssh_genkeytypes {
            let kind = plain(kind)?;
            writeln!(script, "ssh-keygen -q -N '' -t {kind} -f /etc/ssh/ssh_host_{kind}_key")?;
        }
    }
    Ok(())
}

fn add_user(script: &mut String, user: &User) -> Result<(), Failure> {
    let name = plain(&user.name)?;
    let shell = user.shell.as_deref().unwrap_or("/bin/sh");
    writeln!(script, "useradd --create-home --shell {} {name}", quoted(shell)?)?;
    let keys: String = user.ssh_authorized_keys.iter().map(|key| format!("{key}\n")).collect();
    let home = format!("/home/{name}/.ssh");
    writeln!(script, "install -d -m 0700 -o {name} -g {name} {home}")?;
    put(script, "0600", &format!("{home}/authorized_keys"), &keys)?;
    writeln!(script, "chown {name}:{name} {home}/authorized_keys")?;
    Ok(())
}

fn put(script: &mut String, mode: &str, path: &str, content: &str) -> Result<(), Failure> {
    writeln!(script, "put {} {} {}", plain(mode)?, quoted(path)?, STANDARD.encode(content))?;
    Ok(())
}

/// A word that means nothing to a shell, and no option to a program.
fn plain(word: &str) -> Result<&str, Failure> {
    let fits = word.starts_with(|c: char| c.is_ascii_alphanumeric())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    if fits { Ok(word) } else { Err(format!("`{word}` is no plain word").into()) }
}

fn quoted(path: &str) -> Result<String, Failure> {
    if path.starts_with('/') && !path.contains(['\'', '\n']) {
        Ok(format!("'{path}'"))
    } else {
        Err(format!("`{path}` is no absolute path").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_applies_is_refused() {
        let refused = |text: &str| first_boot(text).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(refused("#cloud-config\nruncmd: [[id]]\n").contains("unknown field `runcmd`"));
        assert!(refused("#!/bin/sh\n").contains("no cloud-config"));
        assert!(refused("#cloud-config\nusers: [{name: 'a;b'}]\n").contains("no plain word"));
        assert!(
            refused("#cloud-config\nwrite_files: [{path: x, permissions: '0644', content: ''}]\n").contains("path")
        );
    }

    #[test]
    fn files_users_and_keys_become_a_script() {
        let config = "#cloud-config\nhostname: h\nssh_pwauth: false\nssh_deletekeys: true\nssh_keys: {ed25519_private: k}\n\
            users: [{name: ops, shell: /bin/bash, lock_passwd: true, sudo: 'ALL=(ALL) ALL', ssh_authorized_keys: [a b]}]\n\
            write_files: [{path: /etc/x, permissions: '0644', content: hello}]\n";
        let boot = first_boot(config).expect("a cloud-config");
        assert_eq!(boot.hostname.as_deref(), Some("h"));
        let steps: Vec<_> = boot.script.lines().skip_while(|line| *line != "}").skip(1).collect();
        assert_eq!(
            steps,
            [
                "put 0644 '/etc/x' aGVsbG8=",
                "useradd --create-home --shell '/bin/bash' ops",
                "install -d -m 0700 -o ops -g ops /home/ops/.ssh",
                "put 0600 '/home/ops/.ssh/authorized_keys' YSBiCg==",
                "chown ops:ops /home/ops/.ssh/authorized_keys",
                "put 0440 '/etc/sudoers.d/90-cloud-init-users' b3BzIEFMTD0oQUxMKSBBTEwK",
                "rm -f /etc/ssh/ssh_host_*",
                "put 0600 '/etc/ssh/ssh_host_ed25519_key' awo=",
                "put 0600 '/etc/ssh/sshd_config.d/50-cloud-init.conf' UGFzc3dvcmRBdXRoZW50aWNhdGlvbiBubwo=",
            ]
        );
    }
}
