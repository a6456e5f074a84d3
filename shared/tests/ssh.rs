//! The SSH client against a real sshd of this machine, on the loopback address.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::{
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use secrecy::ExposeSecret;
use shared::ssh::{Exec, Fed, Guard, KeyPair, Reach, Session, SshError, Target, Unit, generate_key};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Sshd {
    child: Child,
    _dir: tempfile::TempDir,
    target: Target,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}

/// Starts an sshd with a host key of ours; `None`, with a word about it, where there is none.
async fn sshd(test: &str) -> Option<(Sshd, Session)> {
    if !Path::new("/usr/sbin/sshd").exists() || !is_root() {
        println!("SKIPPED {test}: needs root and an sshd");
        return None;
    }
    std::fs::create_dir_all("/run/sshd").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (host, login) = (generate_key("host").unwrap(), generate_key("login").unwrap());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = configure(dir.path(), port, &host, &login);
    let quiet = || Stdio::null();
    let child = Command::new("/usr/sbin/sshd").args(["-D", "-f", &config]).stderr(quiet()).spawn().unwrap();
    let target =
        Target { host: "127.0.0.1".into(), port, user: "root".into(), host_key: host.public, login_key: login.private };
    let sshd = Sshd { child, _dir: dir, target };
    let session = connect(&sshd.target).await;
    Some((sshd, session))
}

fn configure(dir: &Path, port: u16, host: &KeyPair, login: &KeyPair) -> String {
    write(&dir.join("host"), host.private.expose_secret());
    write(&dir.join("keys"), &login.public);
    let text = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {0}/host\nAuthorizedKeysFile {0}/keys\nStrictModes no\n\
         UsePAM no\nPermitRootLogin prohibit-password\nPidFile none\n",
        dir.display()
    );
    write(&dir.join("config"), &text);
    dir.join("config").display().to_string()
}

async fn connect(target: &Target) -> Session {
    let started = std::time::Instant::now();
    loop {
        match Session::connect(target, Duration::from_secs(5)).await {
            Ok(session) => return session,
            Err(e) if e.is_transient() && started.elapsed() < Duration::from_secs(20) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(e) => panic!("no login: {e}"),
        }
    }
}

fn unit(name: &str, token: &str, script: &str) -> Unit {
    Unit {
        name: format!("test-{name}-{}", std::process::id()),
        token: token.into(),
        argv: vec!["sh".into(), "-c".into(), script.into()],
        timeout: Duration::from_secs(20),
        guard: None,
    }
}

fn forget(unit: &Unit) {
    let _ = std::fs::remove_dir_all(format!("/run/byop/units/{}", unit.name));
}

#[tokio::test]
async fn another_host_key_is_refused_before_the_login() {
    let Some((sshd, _)) = sshd("host key").await else { return };
    let other = Target { host_key: generate_key("other").unwrap().public, ..sshd.target.clone() };
    assert!(matches!(Session::connect(&other, Duration::from_secs(5)).await, Err(SshError::HostKey)));
    let stranger = Target { login_key: generate_key("x").unwrap().private, ..sshd.target.clone() };
    assert!(matches!(Session::connect(&stranger, Duration::from_secs(5)).await, Err(SshError::Refused)));
}

#[tokio::test]
async fn a_name_for_a_private_address_is_not_knocked_at() {
    let login = generate_key("x").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in ["localhost", "127.0.0.1", "::ffff:127.0.0.1"] {
        let (host_key, login_key) = (login.public.clone(), login.private.clone());
        let target = Target { host: host.into(), port, user: "root".into(), host_key, login_key };
        let refused = Session::connect_within(&target, Reach::Public, Duration::from_secs(5)).await;
        assert!(matches!(refused, Err(SshError::Private)), "{host}");
    }
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "nobody came");
}

#[tokio::test]
async fn a_command_has_its_arguments_input_output_and_status() {
    let Some((_sshd, session)) = sshd("exec").await else { return };
    let how = Exec { stdin: "in put".into(), ..Exec::default() };
    let out = session
        .exec(&["sh", "-c", "cat; printf %s \"$1\"; echo oops >&2; exit 42", "x", "a 'b' $c\n"], how)
        .await
        .unwrap();
    assert_eq!((out.status, out.stdout_text().as_str()), (42, "in puta 'b' $c\n"));
    assert_eq!(out.stderr_text(), "oops\n");
    let late = Exec { timeout: Duration::from_millis(200), ..Exec::default() };
    assert!(matches!(session.exec(&["sleep", "1"], late).await, Err(SshError::Timeout { .. })));
    let big = Exec { stdin: vec![b'x'; 3 << 20].into(), ..Exec::default() };
    assert_eq!(session.run(&["wc", "-c"], big).await.unwrap().trim(), (3 << 20).to_string());
}

#[tokio::test]
async fn a_file_arrives_whole_with_its_mode() {
    let Some((_sshd, session)) = sshd("put file").await else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/er/file");
    let text: Vec<u8> = (0..200_000u32).map(|i| i as u8).collect();
    session.put_file(path.to_str().unwrap(), text.clone(), "0600").await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), text);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    session.put_file(path.to_str().unwrap(), "new", "0644").await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"new");
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file is left");
}

#[tokio::test]
async fn a_unit_survives_its_starter_and_is_found_again() {
    let Some((sshd, session)) = sshd("unit").await else { return };
    let dir = tempfile::tempdir().unwrap();
    let (gate, count) = (dir.path().join("gate"), dir.path().join("count"));
    let script = format!(
        "echo run >> {}; while [ ! -e {} ]; do sleep 0.02; done; echo done; exit 7",
        count.display(),
        gate.display()
    );
    let first = unit("reattach", "1", &script);
    session.start_unit(&first).await.unwrap();
    session.close().await;

    let again = connect(&sshd.target).await;
    assert!(again.unit_runs(&first.name).await.unwrap());
    again.start_unit(&Unit { token: "2".into(), ..first.clone() }).await.unwrap();
    std::fs::write(&gate, "").unwrap();
    let result = again.wait_unit(&first.name).await.unwrap();
    assert_eq!((result.status, result.log.as_str()), (7, "done\n"));
    let kept = again.run_unit(&first).await.unwrap();
    assert_eq!(kept.status, 7);
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "run\n", "ran once for one token");
    again.run_unit(&Unit { token: "3".into(), ..first.clone() }).await.unwrap();
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "run\nrun\n", "a later attempt runs it again");
    forget(&first);
}

#[tokio::test]
async fn stopping_a_unit_ends_its_whole_group() {
    let Some((_sshd, session)) = sshd("unit stop").await else { return };
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    // The command and its child do not listen to a polite signal.
    let stubborn = unit(
        "stop",
        "1",
        &format!("trap '' TERM; sh -c 'echo $$ > {0}.new; mv {0}.new {0}; sleep 600' & wait", pid.display()),
    );
    session.start_unit(&stubborn).await.unwrap();
    let found = format!("while [ ! -e {} ]; do sleep 0.02; done", pid.display());
    session.run(&["sh", "-c", &found], Exec::default()).await.unwrap();
    session.stop_unit(&stubborn.name).await.unwrap();
    assert!(!session.unit_runs(&stubborn.name).await.unwrap());
    let pid = std::fs::read_to_string(&pid).unwrap();
    let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z"), "a child lives on: {state}");
    assert_eq!(session.wait_unit(&stubborn.name).await.unwrap().status, 143);
    forget(&stubborn);
}

#[tokio::test]
async fn a_unit_that_takes_its_time_to_end_runs_until_it_has_ended() {
    let Some((_sshd, session)) = sshd("unit end").await else { return };
    let dir = tempfile::tempdir().unwrap();
    let (ready, ended) = (dir.path().join("ready"), dir.path().join("ended"));
    let script = format!(
        "trap 'sleep 0.3; touch {1}; exit 9' TERM; touch {0}; while :; do sleep 0.05; done",
        ready.display(),
        ended.display()
    );
    let slow = unit("ending", "1", &script);
    session.start_unit(&slow).await.unwrap();
    let found = format!("while [ ! -e {} ]; do sleep 0.02; done", ready.display());
    session.run(&["sh", "-c", &found], Exec::default()).await.unwrap();
    session.stop_unit(&slow.name).await.unwrap();
    assert!(ended.exists(), "the stop waited for the command's own end");
    assert_eq!(session.wait_unit(&slow.name).await.unwrap().status, 9);
    forget(&slow);
}

#[tokio::test]
async fn a_guarded_unit_does_not_start_for_an_old_attempt() {
    let Some((_sshd, session)) = sshd("guard").await else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("epoch").display().to_string();
    std::fs::write(&file, "5 2").unwrap();
    let mut guarded = unit("guard", "1", "true");
    guarded.guard = Some(Guard { file: file.clone(), value: "5 1".into() });
    assert!(matches!(session.run_unit(&guarded).await, Err(SshError::Fenced)));
    guarded.guard = Some(Guard { file, value: "5 2".into() });
    assert!(session.run_unit(&guarded).await.unwrap().success());
    forget(&guarded);
}

#[tokio::test]
async fn sockets_and_ports_are_reached_through_the_server() {
    let Some((_sshd, session)) = sshd("forward").await else { return };
    let dir = tempfile::tempdir().unwrap();
    let far = dir.path().join("far");
    let listener = tokio::net::UnixListener::bind(&far).unwrap();
    tokio::spawn(async move {
        while let Ok((mut s, _)) = listener.accept().await {
            let mut word = [0u8; 4];
            s.read_exact(&mut word).await.unwrap();
            s.write_all(&word).await.unwrap();
        }
    });
    let forwarded = session.forward_unix(far.to_str().unwrap(), dir.path()).unwrap();
    let local = forwarded.path().to_owned();
    let mut stream = tokio::net::UnixStream::connect(&local).await.unwrap();
    stream.write_all(b"ping").await.unwrap();
    let mut word = [0u8; 4];
    stream.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"ping");
    drop(forwarded);
    assert!(!local.exists());

    let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = tcp.local_addr().unwrap().port();
    tokio::spawn(async move { tcp.accept().await.unwrap().0.write_all(b"hello").await.unwrap() });
    let mut text = String::new();
    session.open_tcp("127.0.0.1", port).await.unwrap().read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hello");
}

/// Bytes that differ, so that a lost or doubled piece shows.
fn many() -> Vec<u8> {
    (0..6_000_000u32).flat_map(|n| n.to_le_bytes()).collect()
}

#[tokio::test]
async fn a_pipe_carries_everything_both_ways() {
    let Some((_sshd, session)) = sshd("pipe").await else { return };
    let limit = Duration::from_secs(60);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("all").display().to_string();
    let many = many();
    let taken = session.pipe("cat > \"$1\"; echo ignored; echo heard >&2; exit 3", &[&path], limit).await.unwrap();
    let (status, stderr) = taken.feed(&mut many.as_slice()).await.unwrap();
    assert_eq!((status, stderr.as_str()), (3, "heard\n"));
    assert!(std::fs::read(&path).unwrap() == many, "it arrived whole");

    let mut given = session.pipe("cat \"$1\"; exit 4", &[&path], limit).await.unwrap();
    given.end_input().await;
    let mut all = Vec::new();
    while let Some(piece) = given.next().await {
        all.extend_from_slice(&piece);
    }
    assert_eq!(given.end().unwrap().0, 4);
    assert!(all == many, "it came whole");
    // One that reads nothing does not hold us.
    let deaf = session.pipe("exec <&-; exit 5", &[], limit).await.unwrap();
    assert_eq!(deaf.feed(&mut many.as_slice()).await.unwrap().0, 5);
}

#[tokio::test]
async fn a_pipe_that_breaks_is_no_end() {
    let Some((_sshd, session)) = sshd("broken pipe").await else { return };
    let limit = Duration::from_secs(60);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("end").display().to_string();
    // An input that cannot be read to its end.
    let input = tokio_util::io::StreamReader::new(futures::stream::iter([
        Ok(bytes::Bytes::from_static(b"a part")),
        Err(std::io::Error::from(std::io::ErrorKind::InvalidData)),
    ]));
    let taken = session.pipe("cat >/dev/null && sleep 1 && echo end > \"$1\"", &[&path], limit).await.unwrap();
    let Err(Fed::Input(e)) = taken.feed(&mut Box::pin(input)).await else { panic!("it was taken for whole") };
    assert_eq!(e.kind(), std::io::ErrorKind::InvalidData);
    // A script that a signal ends, and one that takes too long.
    let mut killed = session.pipe("echo part; kill -9 $$", &[], limit).await.unwrap();
    while killed.next().await.is_some() {}
    assert_ne!(killed.end().unwrap().0, 0);
    let mut slow = session.pipe("echo part; sleep 30", &[], Duration::from_millis(500)).await.unwrap();
    while slow.next().await.is_some() {}
    assert!(matches!(slow.end(), Err(SshError::Timeout { .. })));
}
