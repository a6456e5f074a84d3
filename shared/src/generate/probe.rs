//! Health tests that need nothing but what the runtime image has anyway.
//!
//! Invariant: port, path and bound are arguments of a constant program, never parts of it. A status of 400 and more is
//! ill; behind a guessed path, only one of 500 and more, because `/` may well answer 404 or ask for a login.

use crate::domain::{HealthPath, Port};

const ANY: &str = "u=\"http://127.0.0.1:$0$1\"
if command -v wget >/dev/null; then wget -S -O /dev/null \"$u\" 2>&1 | grep -Eq \"$2\"
elif command -v curl >/dev/null; then curl -s -m 3 -D - -o /dev/null --http1.1 \"$u\" | grep -Eq \"$2\"
elif command -v python3 >/dev/null; then python3 -c 'import http.client, sys
c = http.client.HTTPConnection(\"127.0.0.1\", int(sys.argv[1]), timeout=3)
c.request(\"GET\", sys.argv[2])
print(\"HTTP/1.1\", c.getresponse().status)' \"$0\" \"$1\" | grep -Eq \"$2\"
elif command -v node >/dev/null; then node -e 'fetch(process.argv[1], {redirect: \"manual\"}).then(r => \
console.log(\"HTTP/1.1\", r.status))' \"$u\" | grep -Eq \"$2\"
elif command -v bash >/dev/null; then bash -c 'exec 3<>\"/dev/tcp/127.0.0.1/$0\" && printf \"GET %s HTTP/1.0\\r\\n\\r\\n\" \"$1\" >&3 \
&& head -n 1 <&3' \"$0\" \"$1\" | grep -Eq \"$2\"
else exit 1
fi";

/// What to ask, and which status is the first bad one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub port: Port,
    pub path: HealthPath,
    pub bad_from: u16,
}

const NODE: &str = "const [port, path, bad] = process.argv.slice(1); fetch('http://127.0.0.1:' + port + path, {redirect: \
                    'manual'}).then(r => process.exit(r.status < Number(bad) ? 0 : 1), () => process.exit(1))";

const PYTHON: &str = "import http.client, sys; port, path, bad = sys.argv[1:]; c = http.client.HTTPConnection('127.0.0.1', \
                      int(port), timeout=3); c.request('GET', path); sys.exit(c.getresponse().status >= int(bad))";

const BASH: &str = "exec 3<>\"/dev/tcp/127.0.0.1/$0\" && printf 'GET %s HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' \"$1\" >&3 \
                    && read -r -t 3 _ status _ <&3 && [ \"${status:-999}\" -lt \"$2\" ]";

impl Probe {
    pub fn node(&self) -> Vec<String> {
        self.argv(&["node", "-e", NODE])
    }

    pub fn python(&self) -> Vec<String> {
        self.argv(&["python3", "-c", PYTHON])
    }

    /// For images without an HTTP client of their own: Bash opens the connection itself.
    pub fn bash(&self) -> Vec<String> {
        self.argv(&["bash", "-c", BASH])
    }

    /// With whatever client an unknown image has; `wget` prints the status line of every answer. It
    /// gets no time limit of its own, some builds of BusyBox crash with one; the health check has one.
    pub fn any_client(&self) -> Vec<String> {
        let good = if self.bad_from > 400 { "[234]" } else { "[23]" };
        let arguments = [
            self.port.to_string(),
            self.path.to_string(),
            format!("^ *(wget: server returned error: )?HTTP/1[.][01] {good}"),
        ];
        ["sh", "-c", ANY].map(str::to_owned).into_iter().chain(arguments).collect()
    }

    fn argv(&self, program: &[&str]) -> Vec<String> {
        let arguments = [self.port.to_string(), self.path.to_string(), self.bad_from.to_string()];
        program.iter().map(|word| (*word).to_owned()).chain(arguments).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        process::Command,
        thread,
    };

    use super::*;

    /// Runs the probe against one answer of a server of our own.
    fn healthy(program: fn(&Probe) -> Vec<String>, status: u16, bad_from: u16) -> bool {
        let server = TcpListener::bind("127.0.0.1:0").expect("listening");
        let port = server.local_addr().expect("address").port().try_into().expect("port");
        let answer = thread::spawn(move || {
            let (mut connection, _) = server.accept().expect("connection");
            // A connection that is closed with part of the request unread is reset, and the answer is lost.
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                connection.read_exact(&mut byte).expect("request");
                request.extend(byte);
            }
            assert!(request.starts_with(b"GET /healthz HTTP/1."));
            write!(connection, "HTTP/1.1 {status} Word\r\nContent-Length: 0\r\n\r\n").expect("answered");
        });
        let argv = program(&Probe { port, path: "/healthz".parse().expect("path"), bad_from });
        let ok = Command::new(&argv[0]).args(&argv[1..]).output().expect("started").status.success();
        answer.join().expect("served");
        ok
    }

    #[test]
    fn bash_reads_the_status() {
        assert!(healthy(Probe::bash, 200, 400));
        assert!(healthy(Probe::bash, 302, 400));
        assert!(!healthy(Probe::bash, 404, 400));
        assert!(healthy(Probe::bash, 404, 500));
        assert!(!healthy(Probe::bash, 503, 500));
    }

    #[test]
    fn nobody_listens_is_ill() {
        let probe = Probe { port: 1u16.try_into().expect("port"), path: "/".parse().expect("path"), bad_from: 500 };
        let argv = probe.bash();
        assert!(!Command::new(&argv[0]).args(&argv[1..]).output().expect("started").status.success());
    }
}
