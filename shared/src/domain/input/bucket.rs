//! Buckets: where an S3-compatible storage answers, and what names a place in it.
//!
//! Invariant: a bucket's and a prefix's text stands in a URL's path without escaping, and leads nowhere but down. Absent:
//! resolving the endpoint's host name and refusing private addresses that it leads to; that is the duty of who connects.

use super::{Malformed, WebhookPolicy, WebhookUrl, WebhookUrlError, keep, text_type};

/// The URL of a storage: a scheme, a host and perhaps a port. Judged like the URL of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageEndpoint(WebhookUrl);

impl StorageEndpoint {
    pub fn parse(text: &str, policy: WebhookPolicy) -> Result<Self, WebhookUrlError> {
        let refused = Malformed { what: "endpoint", grammar: "https:// and a host, such as https://s3.example.com" };
        let url = WebhookUrl::parse(text, policy).map_err(|e| match e {
            WebhookUrlError::Malformed(_) => refused.into(),
            private @ WebhookUrlError::Private => private,
        })?;
        let bare = url.as_str().ends_with('/') && url.as_str().matches('/').count() == 3 && !url.as_str().contains('?');
        if bare { Ok(Self(url)) } else { Err(refused.into()) }
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// A host name, an IPv4 address or an IPv6 address without brackets.
    pub fn host(&self) -> String {
        self.0.host()
    }

    pub fn port(&self) -> u16 {
        self.0.port()
    }
}

text_type!(
    /// The name of a bucket.
    BucketName,
    "bucket",
    bucket
);

fn bucket(text: &str) -> Result<String, &'static str> {
    const ALLOWED: &str = "3 to 63 lower-case letters, digits, dots and dashes, with a letter or digit at both ends";
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ok = (3..=63).contains(&text.len())
        && text.chars().all(|c| inner(c) || c == '-' || c == '.')
        && text.starts_with(inner)
        && text.ends_with(inner)
        && !text.contains("..");
    keep(text, ok, ALLOWED)
}

text_type!(
    /// What the names of a target's objects begin with: folders, each ended by a slash, or nothing.
    ObjectPrefix,
    "prefix",
    prefix
);

fn prefix(text: &str) -> Result<String, &'static str> {
    const ALLOWED: &str =
        "empty, or folders of letters, digits, dashes and underscores, each ended by /, at most 200 characters";
    let folder = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            && !part.starts_with('-')
    };
    let ok = text.is_empty() || text.strip_suffix('/').is_some_and(|rest| rest.split('/').all(folder));
    keep(text, ok && text.len() <= 200, ALLOWED)
}

text_type!(
    /// The region that requests to a storage are signed for.
    StorageRegion,
    "region",
    region
);

fn region(text: &str) -> Result<String, &'static str> {
    const ALLOWED: &str = "1 to 50 lower-case letters, digits and dashes";
    let ok = (1..=50).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !text.starts_with('-');
    keep(text, ok, ALLOWED)
}

text_type!(
    /// The public half of an access key to a storage.
    StorageKeyId,
    "access key id",
    key_id
);

fn key_id(text: &str) -> Result<String, &'static str> {
    const ALLOWED: &str = "3 to 128 letters, digits, dashes and underscores";
    let ok = (3..=128).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        && !text.starts_with('-');
    keep(text, ok, ALLOWED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        let parse = |text: &str| StorageEndpoint::parse(text, WebhookPolicy::Production);
        for good in ["https://s3.example.com", "https://s3.example.com:9000/", "https://8.8.8.8"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "http://s3.example.com",
            "https://s3.example.com/bucket",
            "https://s3.example.com/?a",
            "s3",
            "https://a@s3.example.com",
        ] {
            assert!(matches!(parse(bad), Err(WebhookUrlError::Malformed(m)) if m.what == "endpoint"), "{bad}");
        }
        for private in ["https://127.0.0.1", "https://localhost:9000", "https://169.254.169.254"] {
            assert_eq!(parse(private), Err(WebhookUrlError::Private), "{private}");
            assert!(StorageEndpoint::parse(private, WebhookPolicy::Development).is_ok());
        }
    }

    #[test]
    fn names_in_buckets() {
        for good in ["abc", "my-bucket.eu", "0a1"] {
            assert!(good.parse::<BucketName>().is_ok(), "{good}");
        }
        for bad in ["", "ab", "A-bucket", "a..b", "-ab", "a/b", "a?b", "../etc"] {
            assert!(bad.parse::<BucketName>().is_err(), "{bad}");
        }
        for good in ["", "a/", "Backups_1/shop-eu/"] {
            assert!(good.parse::<ObjectPrefix>().is_ok(), "{good}");
        }
        for bad in ["/", "a", "a//", "../", "a/../b/", "a b/", "-a/", "a%2f/"] {
            assert!(bad.parse::<ObjectPrefix>().is_err(), "{bad}");
        }
    }
}
