//! How a release does after the switch, as Traefik's access log tells it.

use std::time::Duration;

use shared::{
    failure::Failure,
    generate,
    ssh::{Exec, Session},
};

use crate::release::Release;

/// Arguments: seconds, then the addresses of the release. Prints how many requests they were sent and how many of them
/// were answered with a status of 500 or more.
const COUNT: &str = r#"seconds=$1; shift
edge=$(docker ps -q --filter label=byop.edge | head -n 1)
docker logs --since "${seconds}s" "$edge" 2>/dev/null | awk -v addresses="$*" '
  BEGIN { n = split(addresses, list, " "); for (i = 1; i <= n; i++) known[list[i]] = 1 }
  match($0, /"ServiceAddr":"[^"]*"/) {
    if (!(substr($0, RSTART + 15, RLENGTH - 16) in known)) next
    requests++
    if (match($0, /"DownstreamStatus":[0-9]+/) && substr($0, RSTART + 19, RLENGTH - 19) >= 500) failures++
  }
  END { print requests + 0, failures + 0 }'
"#;

/// Requests and failures of the release in the last seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    pub requests: u64,
    pub failures: u64,
}

impl Rate {
    /// Whether so many failed that the release is not to be trusted: a tenth of at least ten.
    pub fn is_bad(self) -> bool {
        self.failures >= 5 && self.failures * 10 >= self.requests
    }
}

/// Counts the requests to the release in the edge's access log.
pub async fn error_rate(session: &Session, release: &Release, last: Duration) -> Result<Rate, Failure> {
    let addresses: Vec<String> = release
        .web()
        .filter_map(|part| Some((part, part.frozen.component.port?)))
        .flat_map(|(part, port)| {
            let names = generate::service_names(&part.frozen.component, release.deployment.id);
            names.into_iter().map(move |name| format!("{name}:{port}"))
        })
        .collect();
    if addresses.is_empty() {
        return Ok(Rate::default());
    }
    let seconds = last.as_secs().max(1).to_string();
    let mut args = vec![seconds.as_str()];
    args.extend(addresses.iter().map(String::as_str));
    let text = session.script(COUNT, &args, Exec::default()).await?;
    Ok(read(&text))
}

fn read(text: &str) -> Rate {
    let mut numbers = text.split_whitespace().map(|word| word.parse().unwrap_or(0));
    Rate { requests: numbers.next().unwrap_or(0), failures: numbers.next().unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_failures_are_none_of_the_release() {
        let bad = |requests, failures| Rate { requests, failures }.is_bad();
        assert!(!bad(0, 0) && !bad(4, 4) && !bad(100, 9) && !bad(1000, 50));
        assert!(bad(5, 5) && bad(100, 10) && bad(50, 40));
    }

    #[test]
    fn counts_are_read() {
        assert_eq!(read("12 3\n"), Rate { requests: 12, failures: 3 });
        assert_eq!(read(""), Rate::default());
    }
}
