//! Where events are sent: the URL of a receiver.
//!
//! Absent: resolving its host name and refusing private addresses that it leads to; that needs the network and is the
//! sender's duty.

use url::{Host, Url};

use super::{Malformed, is_private, net::is_inside_name};

/// Which URLs are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookPolicy {
    /// HTTPS, to a host that is not written as a private one.
    Production,
    /// Plain HTTP and hosts of one's own network too, for a receiver on the developer's own machine.
    Development,
}

/// A receiver's URL: absolute, without user, password and fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookUrl(Url);

/// Why a URL is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookUrlError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the URL leads to a private address")]
    Private,
}

const ALLOWED: &str = "an https:// URL of up to 1000 visible ASCII characters without user, password and fragment";

impl WebhookUrl {
    pub fn parse(text: &str, policy: WebhookPolicy) -> Result<Self, WebhookUrlError> {
        let refused = Malformed { what: "webhook URL", grammar: ALLOWED };
        // A URL parser mends much (a backslash, a tab); what needs mending is refused instead.
        let plain = text.len() <= 1000 && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
        let url = Url::parse(text).ok().filter(|_| plain).ok_or(refused)?;
        let scheme_ok = url.scheme() == "https" || (url.scheme() == "http" && policy == WebhookPolicy::Development);
        let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        if !scheme_ok || !bare || url.port_or_known_default().is_none_or(|port| port == 0) {
            return Err(refused.into());
        }
        let private = match url.host().ok_or(refused)? {
            Host::Domain(name) => is_inside_name(name.trim_end_matches('.')),
            Host::Ipv4(address) => is_private(address.into()),
            Host::Ipv6(address) => is_private(address.into()),
        };
        if private && policy == WebhookPolicy::Production {
            return Err(WebhookUrlError::Private);
        }
        Ok(Self(url))
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// A host name, an IPv4 address or an IPv6 address without brackets.
    pub fn host(&self) -> String {
        match self.0.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => String::new(),
        }
    }

    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers() {
        let parse = |text: &str| WebhookUrl::parse(text, WebhookPolicy::Production);
        for (raw, text) in [
            ("https://hooks.example.com/byop?key=1", "https://hooks.example.com/byop?key=1"),
            ("https://Hooks.Example.com:8443", "https://hooks.example.com:8443/"),
            ("https://8.8.8.8/x", "https://8.8.8.8/x"),
        ] {
            assert_eq!(parse(raw).map(|url| url.as_str().to_owned()).as_deref(), Ok(text));
        }
        for bad in [
            "",
            "hooks.example.com",
            "http://hooks.example.com/",
            "ftp://hooks.example.com/",
            "https://user@hooks.example.com/",
            "https://:pw@hooks.example.com/",
            "https://hooks.example.com/#x",
            "https://hooks.example.com\\@db/",
            "https://hooks.example.com/a b",
            "https://hooks.example.com:0/",
            "https://",
            &format!("https://hooks.example.com/{}", "x".repeat(1000)),
        ] {
            assert!(matches!(parse(bad), Err(WebhookUrlError::Malformed(_))), "{bad}");
        }
    }

    #[test]
    fn private_receivers() {
        for text in [
            "https://localhost/",
            "https://localhost./",
            "https://db/",
            "https://metadata.google.internal/",
            "https://127.0.0.1/",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://10.0.0.1/",
            "https://169.254.169.254/latest",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[fd00::1]/",
        ] {
            assert_eq!(WebhookUrl::parse(text, WebhookPolicy::Production), Err(WebhookUrlError::Private), "{text}");
            assert!(WebhookUrl::parse(text, WebhookPolicy::Development).is_ok(), "{text}");
        }
        let http = WebhookUrl::parse("http://127.0.0.1:8080/x", WebhookPolicy::Development).expect("a URL");
        assert_eq!(http.host(), "127.0.0.1");
    }
}
