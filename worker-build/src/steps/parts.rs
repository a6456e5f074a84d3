//! The parts of an order: each an order of its own with one image, from the sources that all share.
//!
//! Invariant: what is said of the running app is said of its own part only; another part's port and health path are
//! found out. Absent: the choice of the parts, which was made when the build was asked for.

use shared::{
    domain::component::BuildPart,
    worksource::{BuildFailure, BuildOrder},
};

/// One image to be made.
pub struct Part {
    pub what: BuildPart,
    /// The order as if this part were the whole app.
    pub order: BuildOrder,
    /// Counts from 0.
    pub position: usize,
    /// How many the order has.
    pub of: usize,
}

/// The parts of an order, in its order.
pub fn parts(order: &BuildOrder) -> Vec<Part> {
    let of = order.parts.len();
    let part =
        |(position, what): (usize, &BuildPart)| Part { what: what.clone(), order: own(order, what), position, of };
    order.parts.iter().enumerate().map(part).collect()
}

fn own(order: &BuildOrder, what: &BuildPart) -> BuildOrder {
    let BuildPart::Source(source) = what else { return order.clone() };
    BuildOrder {
        base_directory: source.base_directory.to_string(),
        dockerfile_path: source.dockerfile_path.as_ref().map(ToString::to_string),
        // A component that names its Dockerfile means that one.
        always_generate: order.always_generate && source.dockerfile_path.is_none(),
        port: None,
        health_path: None,
        ..order.clone()
    }
}

impl Part {
    /// Which of several parts it is, for the log.
    pub fn title(&self) -> Option<String> {
        (self.of > 1).then(|| format!("Part {} of {}: {}", self.position + 1, self.of, self.what.words()))
    }

    /// A failure of this part: its message names the part, unless the app's own is the only one.
    pub fn failure(&self, failure: BuildFailure) -> BuildFailure {
        match failure {
            BuildFailure::Failed { code, message, transient } if self.of > 1 || self.what != BuildPart::App => {
                BuildFailure::Failed { code, message: format!("{}: {message}", self.what.words()), transient }
            }
            other => other,
        }
    }

    /// What sets its files and its tag apart from those of the other parts; empty for the first.
    pub fn suffix(&self) -> String {
        if self.position == 0 { String::new() } else { format!("-{}", self.position + 1) }
    }
}

#[cfg(test)]
pub mod tests {
    use shared::{
        domain::{AppId, BuildId, ClientId, component::BuildSource},
        worksource::FailureCode,
    };

    use super::*;

    /// A part of the repository.
    pub fn source(directory: &str, dockerfile: Option<&str>) -> BuildPart {
        BuildPart::Source(BuildSource {
            base_directory: directory.parse().expect("a path"),
            dockerfile_path: dockerfile.map(|path| path.parse().expect("a path")),
        })
    }

    /// An order of an app whose own source is in `app`.
    pub fn order(parts: Vec<BuildPart>) -> BuildOrder {
        BuildOrder {
            build: BuildId::new(),
            client: ClientId::new(),
            app: AppId::new(),
            slug: "shop".into(),
            attempt: 1,
            git_url: "https://git.example.com/a/b".into(),
            git_ref: "main".into(),
            commit_sha: None,
            submodules: false,
            parts,
            base_directory: "app".into(),
            dockerfile_path: None,
            always_generate: true,
            port: Some(9000),
            health_path: Some("/up".into()),
            deploy_key: None,
            host_keys: Vec::new(),
            variables: Vec::new(),
            variables_fingerprint: String::new(),
            repository: "c/a".into(),
            requested_at: 0,
            preview: false,
        }
    }

    #[test]
    fn each_part_is_an_order_of_its_own() {
        let all = parts(&order(vec![BuildPart::App, source("web", None), source("web", Some("Dockerfile.mail"))]));
        let told = |part: &Part| {
            let o = &part.order;
            (o.base_directory.clone(), o.dockerfile_path.clone(), o.always_generate, o.port, o.health_path.is_some())
        };
        assert_eq!(told(&all[0]), ("app".into(), None, true, Some(9000), true));
        assert_eq!(told(&all[1]), ("web".into(), None, true, None, false));
        assert_eq!(told(&all[2]), ("web".into(), Some("Dockerfile.mail".into()), false, None, false));
        assert_eq!(all.iter().map(Part::suffix).collect::<Vec<_>>(), ["", "-2", "-3"]);
        assert_eq!(all[2].title().as_deref(), Some("Part 3 of 3: web (Dockerfile.mail)"));
        assert!(all.iter().all(|part| part.order.build == all[0].order.build));
    }

    #[test]
    fn a_failure_names_its_part() {
        let failed = || BuildFailure::transient(FailureCode::BuildFailed, "exit code 3");
        let said = |part: &Part| part.failure(failed()).to_string();
        let alone = parts(&order(vec![BuildPart::App]));
        assert_eq!((said(&alone[0]).as_str(), alone[0].title()), ("build_failed: exit code 3", None));
        let two = parts(&order(vec![BuildPart::App, source("jobs", None)]));
        assert_eq!(said(&two[1]), "build_failed: jobs: exit code 3");
        assert!(matches!(two[1].failure(failed()), BuildFailure::Failed { transient: true, .. }));
    }
}
