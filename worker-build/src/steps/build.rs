//! Building: the tree goes into the build's engine once, BuildKit runs for each part, its lines come out.
//!
//! Invariants: secrets are files in memory that BuildKit mounts into single steps; they stand in no argument, no
//! environment and no image. Absent: the push, and its login, which does not exist yet while strangers' code runs; and
//! the disk's limit, which is the size of the disk itself (see [`super::builder`]). It is looked at here only so that a
//! full one is told as such, whatever the step made of it.

use std::time::Duration;

use secrecy::ExposeSecret;
use shared::{
    docker::{Archive, DockerError, Exec, Piece, Running},
    generate::VARIABLES_ARGUMENT,
    worksource::{BuildFailure, BuildOrder, BuildVariable, FailureCode},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::{Instant, interval_at, timeout};

use super::{
    builder::{BuildEngine, SECRETS},
    caches,
    classify::{Evidence, classify},
    fetch::Source,
    generate::Made,
    pack::pack,
    parts::Part,
    work_dir::unusable,
};
use crate::{
    config::BuildConfig,
    engine::unavailable,
    log::{BuildLog, FLUSH},
};

const SOURCE: &str = "/work/source";
const DOCKERFILE: &str = "/work/Dockerfile.byop";
/// On the disk that is limited, where the daemon clears away at its start what a build that was killed has left.
const WRITTEN: &str = "/var/lib/docker/tmp/byop-image.tar";
const LOAD: Duration = Duration::from_secs(300);
const MEASURE: Duration = Duration::from_secs(2);
const SHORT: Duration = Duration::from_secs(30);
const PRUNE: Duration = Duration::from_secs(300);

/// An image in the build's engine.
#[derive(Clone, Debug)]
pub struct Image {
    /// With the registry's host.
    pub name: String,
    pub tag: String,
}

/// What all parts share: room on the disk, the tree and the secrets. Once, before the first part: making room removes
/// images, also those of parts that are not pushed yet.
pub async fn prepare(
    builder: &BuildEngine,
    config: &BuildConfig,
    order: &BuildOrder,
    source: &Source,
) -> Result<(), BuildFailure> {
    make_room(builder, config.limits.disk_bytes).await?;
    give_tree(builder, source).await?;
    give_secrets(builder, order).await
}

/// Builds the image of one part.
pub async fn build(
    builder: &BuildEngine,
    config: &BuildConfig,
    part: &Part,
    (source, made): (&Source, &Made),
    log: &mut BuildLog,
) -> Result<Image, BuildFailure> {
    let order = &part.order;
    let image = image(&builder.registry.host, part, &source.commit);
    give_dockerfile(builder, part, made).await?;
    log.forget_last();
    if let Some(title) = part.title() {
        log.say(title).await;
    }
    log.say(format!("Building {} ({})", image.tag, made.plan.stack)).await;
    let command = Exec::new(argv(part, source, made, &image));
    let running = builder.start_command(&command).await?;
    let ended = follow(builder, running, config.limits.disk_bytes, log).await;
    log.end().await;
    let exit_code = match ended {
        Ok(0) => {
            if made.reproducible {
                load(builder, config).await?;
            }
            return Ok(image);
        }
        Ok(code) => code,
        Err(Ended::DiskFull) => return Err(too_much_disk(config)),
        Err(Ended::Broken(e)) => {
            tracing::warn!(error = %e, build.id = %order.build, "the build command broke off");
            -1
        }
    };
    let evidence = evidence(builder, exit_code, config.limits.memory_bytes).await?;
    Err(classify(&evidence, &log.last()))
}

fn image(registry: &str, part: &Part, commit: &str) -> Image {
    let build = part.order.build.0.as_simple().to_string();
    let tag = format!("{}-{}{}", short(commit), &build[build.len() - 8..], part.suffix());
    Image { name: format!("{registry}/{}", part.order.repository), tag }
}

fn short(commit: &str) -> &str {
    &commit[..commit.len().min(12)]
}

/// The engine cannot give files of an image the commit's time while it keeps it, only while it writes it out.
async fn load(builder: &BuildEngine, config: &BuildConfig) -> Result<(), BuildFailure> {
    let done = builder.run(&Exec::new(["docker", "load", "--quiet", "--input", WRITTEN]), LOAD).await?;
    if done.exit_code != 0 {
        let full = is_full(builder, config.limits.disk_bytes).await;
        let said = done.stderr_text();
        return Err(if full { too_much_disk(config) } else { unavailable(format!("docker load: {said}")) });
    }
    builder.run(&Exec::new(["rm", "-f", WRITTEN]), SHORT).await.map(drop)
}

/// Nothing here differs between two builds of one commit, so that a second one from the cache gives the same image.
fn argv(part: &Part, source: &Source, made: &Made, image: &Image) -> Vec<String> {
    let order = &part.order;
    let created = i64::try_from(source.committed_at).ok().and_then(|t| OffsetDateTime::from_unix_timestamp(t).ok());
    let created = created.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let labels = [
        ("revision", source.commit.clone()),
        ("source", order.git_url.clone()),
        ("created", created.format(&Rfc3339).unwrap_or_default()),
        ("version", short(&source.commit).to_owned()),
        ("title", order.slug.clone()),
    ];
    let mut argv: Vec<String> =
        ["docker", "buildx", "build", "--progress=plain", "--provenance=false", "--file"].map(str::to_owned).into();
    argv.push(dockerfile(part));
    let name = format!("{}:{}", image.name, image.tag);
    argv.push(match made.reproducible {
        true => format!("--output=type=oci,dest={WRITTEN},name={name},rewrite-timestamp=true"),
        false => format!("--tag={name}"),
    });
    argv.push(format!("--build-arg=SOURCE_DATE_EPOCH={}", source.committed_at));
    argv.extend(labels.map(|(name, value)| format!("--label=org.opencontainers.image.{name}={value}")));
    for variable in &order.variables {
        argv.push(format!("--secret=id={0},src={SECRETS}/secrets/{0}", variable.name));
        if made.own && is_argument(variable) {
            argv.push(format!("--build-arg={}={}", variable.name, variable.value.expose_secret()));
        }
    }
    if !made.own && !order.variables.is_empty() {
        argv.push(format!("--build-arg={VARIABLES_ARGUMENT}={}", order.variables_fingerprint));
    }
    argv.push("--".to_owned());
    argv.push(if made.context.is_empty() { SOURCE.to_owned() } else { format!("{SOURCE}/{}", made.context) });
    argv
}

/// A repository's own Dockerfile may declare an ARG for what is no secret. BuildKit takes some names for its own
/// settings, among them the one of a frontend to run in place of the engine's.
fn is_argument(variable: &BuildVariable) -> bool {
    let name = variable.name.to_ascii_uppercase();
    !variable.secret && !name.starts_with("BUILDKIT_") && name != "SOURCE_DATE_EPOCH"
}

/// Packs the tree into a file beside it, and unpacks that in the container.
async fn give_tree(builder: &BuildEngine, source: &Source) -> Result<(), BuildFailure> {
    let (from, tar) = (source.path.clone(), source.path.with_extension("tar"));
    let (to, now) = (tar.clone(), engine_time(builder).await?);
    let pack = move || pack(&from, SOURCE.trim_start_matches('/').as_ref(), &to, now);
    tokio::task::spawn_blocking(pack).await.map_err(std::io::Error::other).and_then(|r| r).map_err(unusable)?;
    builder.put_tar("/", &tar).await
}

/// Where a part's Dockerfile is. Each part has its own place: what one is to ignore stands beside it, and the next may
/// have nothing of the kind.
fn dockerfile(part: &Part) -> String {
    format!("{DOCKERFILE}{}", part.suffix())
}

async fn give_dockerfile(builder: &BuildEngine, part: &Part, made: &Made) -> Result<(), BuildFailure> {
    let path = dockerfile(part);
    let name = path.trim_start_matches('/');
    let mut files = Archive::new().file(name, 0o644, made.plan.dockerfile.as_bytes()).map_err(unavailable)?;
    if let Some(ignore) = &made.dockerignore {
        let name = format!("{name}.dockerignore");
        files = files.file(name, 0o644, ignore.as_bytes()).map_err(unavailable)?;
    }
    builder.put("/", files).await
}

/// Unix seconds by the clock that the build's own files are dated with.
async fn engine_time(builder: &BuildEngine) -> Result<u64, BuildFailure> {
    let done = builder.run(&Exec::new(["date", "+%s"]), SHORT).await?;
    done.stdout_text().trim().parse().map_err(unavailable)
}

async fn give_secrets(builder: &BuildEngine, order: &BuildOrder) -> Result<(), BuildFailure> {
    let mut files = Archive::new().directory("secrets", 0o700).map_err(unavailable)?;
    for variable in &order.variables {
        let value = variable.value.expose_secret().as_bytes();
        files = files.file(format!("secrets/{}", variable.name), 0o600, value).map_err(unavailable)?;
    }
    builder.put_secret(files).await
}

enum Ended {
    DiskFull,
    Broken(DockerError),
}

/// Reads the command's lines to its end; returns its exit code.
async fn follow(builder: &BuildEngine, mut running: Running, max_disk: u64, log: &mut BuildLog) -> Result<i64, Ended> {
    let mut measure = interval_at(Instant::now() + MEASURE, MEASURE);
    let reading = async {
        loop {
            // A quiet command must not keep lines back.
            match timeout(FLUSH, running.next()).await {
                Err(_) => log.tick().await,
                Ok(Ok(Some(Piece::Out(bytes) | Piece::Err(bytes)))) => log.bytes(&bytes).await,
                Ok(Ok(None)) => return running.exit_code().await.map_err(Ended::Broken),
                Ok(Err(e)) => return Err(Ended::Broken(e)),
            }
        }
    };
    let watching = async {
        loop {
            measure.tick().await;
            if is_full(builder, max_disk).await {
                return Err(Ended::DiskFull);
            }
        }
    };
    tokio::select! { ended = reading => ended, full = watching => full }
}

/// How full the disk of the build's engine is.
struct Disk {
    used: u64,
    free: u64,
}

/// `None` when it cannot be told now.
async fn disk(builder: &BuildEngine) -> Option<Disk> {
    // What is available, not what is free: the file system keeps some blocks for itself.
    let stat = Exec::new(["stat", "--file-system", "--format=%S %b %a", "/var/lib/docker"]);
    let done = builder.run(&stat, SHORT).await.ok()?;
    let told = done.stdout_text();
    let mut numbers = told.split_whitespace().map(|n| n.parse::<u64>().ok());
    let (size, blocks, free) = (numbers.next()??, numbers.next()??, numbers.next()??);
    Some(Disk { used: blocks.saturating_sub(free) * size, free: free * size })
}

async fn is_full(builder: &BuildEngine, max_disk: u64) -> bool {
    disk(builder).await.is_some_and(|d| d.free <= max_disk / 100)
}

/// Before a build, a cache that takes more than half of the disk is made smaller.
async fn make_room(builder: &BuildEngine, max_disk: u64) -> Result<(), BuildFailure> {
    if disk(builder).await.is_none_or(|d| d.used < max_disk / 2) {
        return Ok(());
    }
    let keep = format!("--keep-storage={}", max_disk / 4);
    for argv in [&["docker", "image", "prune", "-af"][..], &["docker", "builder", "prune", "-af", &keep]] {
        builder.run(&Exec::new(argv.iter().copied()), PRUNE).await?;
    }
    Ok(())
}

fn too_much_disk(config: &BuildConfig) -> BuildFailure {
    BuildFailure::permanent(
        FailureCode::DiskFull,
        format!(
            "The build used more disk than its {} MB. Copy less into the image, remove what is not needed in the step \
             that made it, or use a smaller base image.",
            config.limits.disk_bytes >> 20
        ),
    )
}

/// What can be found out about the end of the command.
async fn evidence(builder: &BuildEngine, exit_code: i64, memory: u64) -> Result<Evidence, BuildFailure> {
    let (running, killed) = builder.state().await?;
    let mut evidence = Evidence {
        exit_code,
        engine_ended: !running,
        killed_for_memory: killed,
        memory_limit_hit: killed,
        memory_bytes: memory,
        machine_full: running && caches::is_full(builder).await,
    };
    if running {
        // The second version of control groups counts kills, the first only how often the limit was met.
        let events = read(builder, "/sys/fs/cgroup/memory.events").await;
        evidence.killed_for_memory |= field(&events, "oom_kill").is_some_and(|n| n > 0);
        let met = read(builder, "/sys/fs/cgroup/memory/memory.failcnt").await;
        evidence.memory_limit_hit |= evidence.killed_for_memory || met.trim().parse::<u64>().is_ok_and(|n| n > 0);
    }
    Ok(evidence)
}

async fn read(builder: &BuildEngine, path: &str) -> String {
    builder.run(&Exec::new(["cat", path]), SHORT).await.map(|o| o.stdout_text()).unwrap_or_default()
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|l| l.strip_prefix(name)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use shared::{domain::component::BuildPart, worksource::BuildPlan};

    use super::*;
    use crate::steps::parts::{
        parts,
        tests::{order, source as part},
    };

    #[test]
    fn what_is_an_argument() {
        let variable = |name: &str, secret| BuildVariable { name: name.into(), value: "v".to_owned().into(), secret };
        assert!(is_argument(&variable("MODE", false)));
        assert!(!is_argument(&variable("TOKEN", true)));
        assert!(!is_argument(&variable("BUILDKIT_SYNTAX", false)));
    }

    #[test]
    fn parts_of_one_commit_differ_in_tag_dockerfile_and_context_only() {
        let all = parts(&order(vec![BuildPart::App, part("web", None), part("jobs", None)]));
        let source = Source { path: "/tmp/source".into(), commit: "0123456789abcdef".into(), committed_at: 7 };
        let made = |context: &str| Made {
            plan: BuildPlan {
                stack: "node".into(),
                dockerfile: "FROM x".into(),
                port: None,
                health_path: None,
                compose: None,
            },
            context: context.into(),
            dockerignore: None,
            own: false,
            reproducible: false,
        };
        let tags: Vec<_> = all.iter().map(|part| image("r:5000", part, &source.commit).tag).collect();
        assert!(tags[0].starts_with("0123456789ab-") && tags[0].len() == 21, "{tags:?}");
        assert_eq!((&tags[1], &tags[2]), (&format!("{}-2", tags[0]), &format!("{}-3", tags[0])));
        let lines: Vec<_> = all
            .iter()
            .zip(["app", "web", "jobs"])
            .map(|(part, context)| argv(part, &source, &made(context), &image("r:5000", part, &source.commit)))
            .collect();
        let differ = |word: &&String| !lines[0].contains(word);
        let only = ["/work/Dockerfile.byop-2", &format!("--tag=r:5000/c/a:{}", tags[1]), "/work/source/web"];
        assert_eq!(lines[1].iter().filter(differ).collect::<Vec<_>>(), only);
        assert_eq!(lines[0].last().map(String::as_str), Some("/work/source/app"));
    }

    #[test]
    fn fields_of_memory_events() {
        let text = "low 0\noom 3\noom_kill 2\noom_group_kill 0";
        assert_eq!(field(text, "oom_kill"), Some(2));
        assert_eq!(field("", "oom_kill"), None);
    }
}
