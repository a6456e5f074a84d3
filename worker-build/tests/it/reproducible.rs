//! Two builds of one commit: with the cache of the first, and without anything of it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::environment::{dockerfile, environment};

/// Every file below a directory, with its path from there.
fn files(directory: &Path) -> Vec<(String, String)> {
    let mut waiting: Vec<PathBuf> = vec![directory.to_owned()];
    let mut found = Vec::new();
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next).expect("directory") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let name = path.strip_prefix(directory).expect("below").display().to_string();
                found.push((name, fs::read_to_string(&path).expect("text")));
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_built_again_from_the_cache_is_the_same_image() {
    let Some(mut env) = environment("a_commit_that_is_built_again_from_the_cache_is_the_same_image").await else {
        return;
    };
    let own = dockerfile("RUN date --rfc-3339=ns >/when\nCOPY a.txt /");
    let client = env.client();
    let mut digests = Vec::new();
    for text in ["one", "two"] {
        env.forge.commit("app", &[("Dockerfile", &own), ("a.txt", text)]);
        for _ in 0..2 {
            let order = env.order(client, "app");
            let (result, report) = env.build(&order).await;
            digests.push(result.unwrap_or_else(|e| panic!("{e}\n{}", report.log())).digest);
        }
    }
    assert!(digests.chunks(2).all(|pair| pair[0] == pair[1]), "{digests:?}");
    assert!(digests[0] != digests[2], "{digests:?}");
    env.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reproducible_app_gives_the_same_image_without_a_cache() {
    let Some(mut env) = environment("a_reproducible_app_gives_the_same_image_without_a_cache").await else { return };
    for example in ["node", "python"] {
        let mut tree = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(example));
        tree.push(("byop.toml".into(), "reproducible = true\n".into()));
        let tree: Vec<(&str, &str)> = tree.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        env.forge.commit(example, &tree);
        let mut digests = Vec::new();
        for _ in 0..2 {
            // A client of its own has a cache of its own.
            let client = env.client();
            let mut order = env.order(client, example);
            order.port = None;
            let (result, report) = env.build(&order).await;
            let image = result.unwrap_or_else(|e| panic!("{example}: {e}\n{}", report.log()));
            assert!(report.log().contains("rewriting layers"), "{example}: {}", report.log());
            digests.push(image.digest);
        }
        assert_eq!(digests[0], digests[1], "{example}");
    }
    env.finish().await;
}
