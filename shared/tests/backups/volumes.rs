//! Whole copies of volumes that containers have open, with this machine's Docker engine as the server.

use shared::{
    backup::{Copy, Key, Local, Scripts, Server, Storage, new_key, scripts},
    domain::{BackupKind, Proof},
    failure::Failure,
};

use crate::{
    bucket::bucket,
    copies::{LIMIT, id},
};

const VOLUME: &str = r#"set -eu
docker volume create "v-$1" >/dev/null
docker run -d --init --name "app-$1" -v "v-$1:/data" debian:trixie-slim sleep 1000 >/dev/null
"#;
const IN_APP: &str = r#"docker exec "app-$1" sh -c "$2""#;

/// A volume that a container has open; removed at the end.
struct Volume(String);

impl Drop for Volume {
    fn drop(&mut self) {
        let script = r#"docker rm -fv "app-$1"; docker volume rm -f "v-$1""#;
        let _ = std::process::Command::new("sh").args(["-c", script, "byop", &self.0]).output();
    }
}

impl Volume {
    async fn run(&self, command: &str) -> String {
        Local.ask(IN_APP, &[&self.0, command], LIMIT).await.expect("it runs").trim().to_owned()
    }
}

async fn start(test: &str) -> Option<(Volume, Storage, Key)> {
    let storage = bucket(test).await?;
    if let Err(e) = Local.ask("docker image inspect debian:trixie-slim >/dev/null", &[], LIMIT).await {
        eprintln!("SKIPPED backups: {test}: no engine with the image debian:trixie-slim: {e}");
        return None;
    }
    let volume = Volume(id());
    Local.ask(VOLUME, &[&volume.0], LIMIT).await.expect("it starts");
    Some((volume, storage, new_key()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_copied_tried_out_and_put_back() {
    let test = "a_volume_is_copied_tried_out_and_put_back";
    let Some((volume, storage, key)) = start(test).await else { return };
    volume.run("cd /data; mkdir d; echo hello > 'd/a b'; ln -s /etc/passwd l; chown 1234:99 d; chmod 2750 d; mknod n c 1 3").await;
    let scripts = scripts(BackupKind::Volume).unwrap();
    let source = format!("v-{}", volume.0);
    let copy = |id: String| Copy { server: &Local, storage: &storage, scripts, source: source.clone(), id, free: 0 };
    let first = copy(id());
    let uploaded = first.upload("files/", 1, &key.recipient).await.expect("copied");
    assert_eq!(first.test(&uploaded.key, &key.identity).await.expect("good"), Proof { things: 1, contents: 6 });
    let left = Local.ask(r#"docker volume ls -q --filter "label=byop.backup=$1""#, &[&first.id], LIMIT).await.unwrap();
    assert_eq!(left, "");
    volume.run("rm -r /data/d; echo new > /data/later").await;
    let restore = id();
    copy(restore.clone()).restore(&uploaded.key, &key.identity).await.expect("restored");
    assert_eq!(
        volume.run("cat '/data/d/a b'; stat -c '%u:%g %a' /data/d; readlink /data/l; ls /data").await,
        "hello\n1234:99 2750\n/etc/passwd\nd\nl"
    );
    volume.run("echo after > /data/later").await;
    copy(restore).restore(&uploaded.key, &key.identity).await.expect("done");
    assert_eq!(volume.run("cat /data/later").await, "after");
    let full = Copy { free: u64::MAX >> 2, ..copy(id()) };
    let refused = full.test(&uploaded.key, &key.identity).await;
    assert!(matches!(refused, Err(Failure::Permanent { code: "disk_full", .. })), "{refused:?}");
    let none = Copy { source: "v-none".into(), ..copy(id()) };
    let missing = none.upload("files/none-", 1, &key.recipient).await;
    assert!(matches!(missing, Err(Failure::Permanent { code: "volume_missing", .. })), "{missing:?}");
}

/// The change as a worker leaves it that dies after so many of its lines.
fn dying_after(lines: usize) -> &'static Scripts {
    let whole = scripts(BackupKind::Volume).unwrap();
    let all: Vec<&str> = whole.restore_swap.lines().collect();
    let begins = all.iter().position(|line| line.starts_with("docker ps")).expect("the change");
    let until = (begins + lines).min(all.len());
    let swap = format!("{}\nexit 9\n", all[..until].join("\n"));
    Box::leak(Box::new(Scripts { restore_swap: swap.leak(), ..*whole }))
}

/// Wherever the change is cut off, the next attempt finishes it, and the end of the job takes it back; the app runs after
/// both, with all of the old or all of the new.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_dies_anywhere_is_finished_or_taken_back() {
    let Some((volume, storage, key)) = start("a_restore_that_dies_anywhere_is_finished_or_taken_back").await else {
        return;
    };
    let whole = scripts(BackupKind::Volume).unwrap();
    let source = format!("v-{}", volume.0);
    let copy = |id: &str, scripts| Copy {
        server: &Local,
        storage: &storage,
        scripts,
        source: source.clone(),
        id: id.into(),
        free: 0,
    };
    volume.run("echo backed-up > /data/f").await;
    let uploaded = copy(&id(), whole).upload("dies/", 1, &key.recipient).await.expect("copied");
    const LINES: usize = 8;
    // The mark that the change has happened is written by the sixth line.
    const MARKED: usize = 6;
    assert_eq!(dying_after(LINES).restore_swap.lines().count(), whole.restore_swap.lines().count() + 1, "all of it");
    for lines in 0..=LINES {
        for finished in [true, false] {
            volume.run("echo lived > /data/f; touch /data/g").await;
            let id = id();
            let died = copy(&id, dying_after(lines)).restore(&uploaded.key, &key.identity).await;
            assert!(died.is_err(), "{lines}");
            match finished {
                true => copy(&id, whole).restore(&uploaded.key, &key.identity).await.expect("finished"),
                false => copy(&id, whole).undo_restore().await.expect("taken back"),
            }
            let expected = if finished || lines >= MARKED { "backed-up\nf" } else { "lived\nf\ng" };
            assert_eq!(volume.run("cat /data/f; ls /data").await, expected, "{lines} {finished}");
            let left = r#"ls "$(dirname "$(docker volume inspect -f '{{.Mountpoint}}' "$1")")" | grep -v -e _data -e opts.json || true"#;
            let left = Local.ask(left, &[&source], LIMIT).await.expect("a list");
            assert!(matches!(left.trim(), "" | "byop-restored"), "{lines} {finished}: {left}");
        }
    }
}
