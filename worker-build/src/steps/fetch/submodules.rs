//! Submodules, level by level, each under the same URL policy as the repository itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use shared::{
    domain::GitUrl,
    worksource::{BuildFailure, FailureCode},
};

use super::{git::Git, parse};
use crate::{config::BuildConfig, log::BuildLog};

const UPDATE: Duration = Duration::from_secs(600);
const READ: Duration = Duration::from_secs(30);
const MAX_DEPTH: usize = 3;
const MAX_MODULES: usize = 50;

struct Module {
    name: String,
    path: PathBuf,
    /// Absolute.
    url: String,
}

/// Fetches the submodules of what is checked out.
pub async fn fetch(git: &mut Git, config: &BuildConfig, url: &GitUrl, log: &mut BuildLog) -> Result<(), BuildFailure> {
    let mut level = vec![(PathBuf::from("."), url.as_str().to_owned())];
    let mut count = 0;
    for _ in 0..MAX_DEPTH {
        let mut next = Vec::new();
        for (at, parent) in level {
            let modules = modules(git, &at, &parent).await?;
            count += modules.len();
            if count > MAX_MODULES {
                return Err(refused(format!("The repository has more than {MAX_MODULES} submodules.")));
            }
            // All of them are judged before the first is fetched: which of them git takes for a path is its own matter.
            for module in &modules {
                git.allow(&parse(&module.url, config.dev_mode)?).await?;
            }
            for module in modules {
                log.say(format!("Submodule {} from {}", module.path.display(), module.url)).await;
                update(git, &at, &module).await?;
                next.push((at.join(&module.path), module.url));
            }
        }
        level = next;
    }
    Ok(())
}

/// The submodules of the repository at `at`.
async fn modules(git: &Git, at: &Path, parent: &str) -> Result<Vec<Module>, BuildFailure> {
    let file = git.source().join(at).join(".gitmodules");
    let is_file = std::fs::symlink_metadata(&file).is_ok_and(|m| m.is_file());
    if !is_file {
        return Ok(Vec::new());
    }
    let file = file.to_string_lossy().into_owned();
    let text =
        git.run(&["config", "--file", &file, "--null", "--get-regexp", r"^submodule\..*\.(path|url)$"], READ).await?;
    read(&text, parent)
}

/// What git lists of a `.gitmodules`. What stands there twice is refused: git could take the other one.
fn read(listed: &str, parent: &str) -> Result<Vec<Module>, BuildFailure> {
    let (mut paths, mut urls) = (BTreeMap::new(), BTreeMap::new());
    for entry in listed.split('\0').filter(|e| !e.is_empty()) {
        let (key, value) = entry.split_once('\n').ok_or_else(|| refused(format!("{entry:?} has no value.")))?;
        let Some((name, field)) = key.strip_prefix("submodule.").and_then(|k| k.rsplit_once('.')) else { continue };
        let list = if field == "path" { &mut paths } else { &mut urls };
        if list.insert(name, value).is_some() {
            return Err(refused(format!("The submodule {name:?} has two entries for its {field}.")));
        }
    }
    let mut taken = BTreeSet::new();
    let modules = paths.into_iter().map(|(name, path)| {
        if !taken.insert(path) {
            return Err(refused(format!("Two submodules have the path {path:?}.")));
        }
        let url = urls.get(name).ok_or_else(|| refused(format!("The submodule {name:?} has no URL.")))?;
        Ok(Module { name: name.to_owned(), path: checked_path(path)?, url: absolute(parent, url)? })
    });
    modules.collect()
}

/// A path below the tree. Git checks it too; this is so that nothing else has to.
fn checked_path(path: &str) -> Result<PathBuf, BuildFailure> {
    let plain = |p: &str| !p.is_empty() && p != "." && p != ".." && !p.starts_with('-');
    if path.split('/').all(plain) {
        Ok(path.into())
    } else {
        Err(refused(format!("The submodule path {path:?} is not valid.")))
    }
}

/// `../x` and `./x` are relative to the URL of the repository.
fn absolute(parent: &str, url: &str) -> Result<String, BuildFailure> {
    if !url.starts_with("./") && !url.starts_with("../") {
        return Ok(url.to_owned());
    }
    let mut base = parent.trim_end_matches('/').to_owned();
    let mut rest = url;
    loop {
        if let Some(r) = rest.strip_prefix("../") {
            let cut = base.rfind('/').filter(|at| base.find("://").is_none_or(|s| *at > s + 2));
            base.truncate(cut.ok_or_else(|| refused(format!("The submodule URL {url:?} is not valid.")))?);
            rest = r;
        } else if let Some(r) = rest.strip_prefix("./") {
            rest = r;
        } else {
            return Ok(format!("{base}/{rest}"));
        }
    }
}

async fn update(git: &Git, at: &Path, module: &Module) -> Result<(), BuildFailure> {
    let (at, path) = (at.to_string_lossy(), module.path.to_string_lossy());
    let shallow = ["-C", &at, "submodule", "update", "--init", "--quiet", "--depth=1", "--", &path];
    let whole = ["-C", &at, "submodule", "update", "--init", "--quiet", "--", &path];
    name_url(git, &at, module, &module.url).await?;
    let mut updated = git.output(&shallow, UPDATE).await;
    if let Some(url) = updated.as_ref().err().and_then(|e| super::problems::redirected(e, &module.url)) {
        name_url(git, &at, module, &url).await?;
        updated = git.output(&shallow, UPDATE).await;
    }
    match updated {
        Ok(_) => Ok(()),
        // A server that gives no single commits gives all of them.
        Err(e) if super::problems::is_refused_commit(&e) => git.run(&whole, UPDATE).await.map(|_| ()),
        Err(e) => Err(super::problems::explain(&e, "")),
    }
}

/// Said to git in so many words, since there is no remote here that a relative URL could be relative to.
async fn name_url(git: &Git, at: &str, module: &Module, url: &str) -> Result<(), BuildFailure> {
    let key = format!("submodule.{}.url", module.name);
    git.run(&["-C", at, "config", &key, url], READ).await.map(|_| ())
}

fn refused(message: String) -> BuildFailure {
    BuildFailure::permanent(FailureCode::GitUrlRefused, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_urls() {
        let base = "https://git.example.com/team/app.git";
        assert_eq!(absolute(base, "../lib.git").ok().as_deref(), Some("https://git.example.com/team/lib.git"));
        assert_eq!(absolute(base, "../../x/y").ok().as_deref(), Some("https://git.example.com/x/y"));
        assert!(absolute(base, "../../../../x").is_err());
        assert_eq!(absolute(base, "https://h/x").ok().as_deref(), Some("https://h/x"));
    }

    #[test]
    fn nothing_stands_there_twice() {
        let entry = |key: &str, value: &str| format!("submodule.{key}\n{value}\0");
        let (path, url) = (entry("a.path", "lib"), entry("a.url", "https://h/a"));
        let read = |entries: &[&str]| read(&entries.concat(), "https://h/app");
        assert_eq!(read(&[&path, &url]).map(|m| m.len()).ok(), Some(1));
        let (other, elsewhere) = (entry("b.path", "lib"), entry("b.url", "https://127.0.0.1/b"));
        assert!(read(&[&path, &url, &other, &elsewhere]).is_err());
        assert!(read(&[&other, &elsewhere, &path, &url]).is_err());
        assert!(read(&[&path, &url, &entry("a.url", "https://127.0.0.1/b")]).is_err());
        assert!(read(&[&path, &entry("a.path", "lib2"), &url]).is_err());
        assert!(read(&[&path]).is_err());
    }

    #[test]
    fn paths_stay_inside() {
        assert!(checked_path("vendor/lib").is_ok());
        for bad in ["", "/etc", "../x", "a/../b", "-x", "a//b"] {
            assert!(checked_path(bad).is_err(), "{bad}");
        }
    }
}
