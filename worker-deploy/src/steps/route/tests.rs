//! The script of the switch, run here on folders of a test: who may lead whom where.

use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::LEAD;

const OWN: &str = "own-release";
const OTHER: &str = "other-release";

/// A server's folders of one app, which is led to `serving`.
struct Server {
    root: TempDir,
}

/// Who asks, as `hold` knows them.
#[derive(Clone, Copy)]
struct Who<'a> {
    mode: &'a str,
    job: &'a str,
    attempt: &'a str,
}

const HOLDER: Who<'_> = Who { mode: "holding", job: "job", attempt: "2" };

impl Server {
    fn new(serving: Option<&str>) -> Self {
        let server = Self { root: TempDir::new().expect("a folder") };
        for dir in ["app", "routes", "cron"] {
            fs::create_dir(server.root.path().join(dir)).expect("a folder");
        }
        server.write("app/holder", "job 2\n");
        server.write("app/epoch", "5\n");
        if let Some(serving) = serving {
            server.write("app/serving", serving);
            server.write("routes/app.yaml", serving);
            server.write("cron/app", serving);
        }
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    /// What is led to, as the marker, Traefik and cron see it.
    fn led_to(&self) -> [Option<String>; 3] {
        ["app/serving", "routes/app.yaml", "cron/app"].map(|name| self.read(name))
    }

    /// Leads to or from the own release, which has number 6; what is led to then is called `target`.
    fn lead(&self, who: Who<'_>, way: &str, target: &str) -> i32 {
        self.run(who, way, "6", target, target.len())
    }

    fn run(&self, who: Who<'_>, way: &str, sequence: &str, target: &str, bytes: usize) -> i32 {
        let mut child = Command::new("sh")
            .args(["-c", LEAD, "byop"])
            .arg(self.path("app"))
            .args([who.mode, who.job, who.attempt, way, OWN, sequence])
            .args([self.path("routes/app.yaml"), self.path("cron/app")])
            .args([target, target, &bytes.to_string()])
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell");
        // A script that refuses reads nothing.
        let _ = child.stdin.take().expect("its input").write_all(target.as_bytes());
        child.wait().expect("its end").code().expect("a status")
    }
}

fn all(name: &str) -> [Option<String>; 3] {
    [Some(name.to_owned()), Some(name.to_owned()), Some(name.to_owned())]
}

#[test]
fn the_holder_leads_to_its_release_and_again() {
    for before in [None, Some(OTHER), Some(OWN)] {
        let server = Server::new(before);
        for _ in 0..2 {
            assert_eq!(server.lead(HOLDER, "to", OWN), 0);
            assert_eq!(server.led_to(), all(OWN), "{before:?}");
        }
        let left = fs::read_dir(server.path("routes")).expect("a folder").count();
        assert_eq!(left, 1, "nothing but the routes is where Traefik looks");
    }
}

#[test]
fn a_release_leads_away_only_from_itself() {
    for (serving, expected) in [(OWN, all("previous")), (OTHER, all(OTHER))] {
        let server = Server::new(Some(serving));
        assert_eq!(server.lead(HOLDER, "from", "previous"), 0);
        assert_eq!(server.led_to(), expected);
    }
}

#[test]
fn nothing_live_means_that_nobody_is_led_anywhere() {
    let server = Server::new(Some(OWN));
    assert_eq!(server.lead(HOLDER, "from", ""), 0);
    assert_eq!(server.led_to(), [Some(String::new()), None, None]);
    // And a release that comes to nothing after that leads to what is live by then.
    assert_eq!(server.lead(HOLDER, "from", "previous"), 0);
    assert_eq!(server.led_to(), all("previous"));
}

#[test]
fn an_attempt_that_lost_the_app_changes_nothing() {
    let late = Who { attempt: "1", ..HOLDER };
    let stranger = Who { job: "another", ..HOLDER };
    // For work after the end of a job, a replay of it that holds the app counts too.
    let replayed = Who { mode: "apart", ..HOLDER };
    for who in [late, stranger, replayed] {
        for way in ["to", "from"] {
            let server = Server::new(Some(OWN));
            assert_eq!(server.lead(who, way, "x"), 76);
            assert_eq!(server.led_to(), all(OWN));
        }
    }
}

#[test]
fn what_an_ended_job_left_is_led_away_beside_another_jobs_work() {
    let ended = Who { mode: "apart", job: "ended", attempt: "9" };
    for (serving, expected) in [(OWN, all("previous")), (OTHER, all(OTHER))] {
        let server = Server::new(Some(serving));
        assert_eq!(server.lead(ended, "from", "previous"), 0);
        assert_eq!(server.led_to(), expected);
    }
}

#[test]
fn a_release_older_than_one_that_went_live_is_not_led_to() {
    let server = Server::new(Some(OTHER));
    assert_eq!(server.run(HOLDER, "to", "4", OWN, OWN.len()), 76);
    assert_eq!(server.led_to(), all(OTHER));
    // But one that is led to is always left, whatever went live.
    let server = Server::new(Some(OWN));
    assert_eq!(server.run(HOLDER, "from", "4", "previous", 8), 0);
    assert_eq!(server.led_to(), all("previous"));
}

#[test]
fn routes_that_did_not_arrive_whole_change_nothing() {
    let server = Server::new(Some(OTHER));
    assert_eq!(server.run(HOLDER, "to", "6", OWN, OWN.len() + 1), 74);
    assert_eq!(server.led_to(), all(OTHER));
}

#[test]
fn a_killed_switch_is_finished_or_taken_back() {
    // Only the marker was written.
    for (way, target) in [("to", OWN), ("from", OTHER)] {
        let server = Server::new(Some(OTHER));
        server.write("app/serving", OWN);
        assert_eq!(server.lead(HOLDER, way, target), 0);
        assert_eq!(server.led_to(), all(target));
    }
}
