//! What a build never sees: the `.dockerignore` of a generated Dockerfile.
//!
//! Invariant: secrets and version control stay out of the context unless the repository's own file asks for them; its
//! lines come last and so win. Not here on purpose: `*.md`, `dist`, `build`, `public`, `vendor`, which may be the app.

use super::source::SourceTree;

const ALWAYS: &str = "\
**/.git
**/.hg
**/.svn
**/.idea
**/.vscode
**/.DS_Store
**/*.log
**/node_modules
**/__pycache__
**/*.pyc
**/.venv
**/venv
**/.pytest_cache
**/.mypy_cache
**/.next
**/.nuxt
**/.output
**/.svelte-kit
**/.docusaurus
**/coverage
**/.env
**/.env.*
!**/.env.example
**/*.pem
**/*.p12
**/*.pfx
**/id_rsa
**/id_ecdsa
**/id_ed25519
**/.aws
**/.ssh
**/.netrc
**/.terraform
Dockerfile*
*.dockerignore
docker-compose*.yml
docker-compose*.yaml
compose*.yml
compose*.yaml
";

/// Cargo's output; other stacks may have a directory of that name which is theirs.
const RUST: &str = "**/target\n";

pub fn dockerignore(tree: &SourceTree, stack: &str) -> String {
    let own = tree.text(".dockerignore").unwrap_or_default();
    let rust = if stack == "rust" { RUST } else { "" };
    let own = if own.is_empty() { own } else { format!("# From the repository's own .dockerignore:\n{own}\n") };
    format!("{ALWAYS}{rust}{own}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_has_the_last_word() {
        let tree = SourceTree::in_memory([(".dockerignore", "!.env.production\nprivate/")]);
        let text = dockerignore(&tree, "rust");
        let of = |needle: &str| text.find(needle).expect(needle);
        assert!(of("**/.env.*") < of("!.env.production") && of("**/target") < of("private/"));
        assert!(!dockerignore(&tree, "node").contains("target"));
    }
}
