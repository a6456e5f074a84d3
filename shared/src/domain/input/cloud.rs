//! Names that clouds give: of regions and sizes, and of those who may log in.

use super::{keep, text_type};

text_type!(
    /// A region, as its cloud names it.
    RegionCode,
    "region",
    code
);

text_type!(
    /// A size of machines, as its cloud names it.
    SizeCode,
    "size",
    code
);

fn code(text: &str) -> Result<String, &'static str> {
    let ok = (1..=64).contains(&text.len()) && begins_plain(text) && text.bytes().all(is_plain);
    keep(text, ok, "1 to 64 letters, digits, dots, hyphens and underscores, beginning with a letter or digit")
}

text_type!(
    /// The public half of a login at a cloud: an application key, a client id.
    CloudLogin,
    "login",
    cloud_login
);

fn cloud_login(text: &str) -> Result<String, &'static str> {
    let ok = (8..=128).contains(&text.len()) && begins_plain(text) && text.bytes().all(is_plain);
    keep(text, ok, "8 to 128 letters, digits, dots, hyphens and underscores, beginning with a letter or digit")
}

text_type!(
    /// The id of a lasting access key at AWS.
    AccessKeyId,
    "access key id",
    access_key_id
);

fn access_key_id(text: &str) -> Result<String, &'static str> {
    let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
    let ok = (16..=128).contains(&text.len()) && text.starts_with("AKIA") && text.bytes().all(plain);
    keep(text, ok, "`AKIA` and 12 to 124 upper-case letters and digits")
}

text_type!(
    /// A role at AWS.
    RoleArn,
    "role",
    role_arn
);

fn role_arn(text: &str) -> Result<String, &'static str> {
    let rest = ["arn:aws:iam::", "arn:aws-cn:iam::", "arn:aws-us-gov:iam::"].iter().find_map(|p| text.strip_prefix(p));
    let parts = rest.and_then(|rest| rest.split_once(":role/"));
    let ok = parts.is_some_and(|(account, name)| {
        account.len() == 12
            && account.bytes().all(|b| b.is_ascii_digit())
            && (1..=576).contains(&name.len())
            && name.split('/').all(|part| !part.is_empty() && part.bytes().all(|b| is_plain(b) || b"+=,@".contains(&b)))
            && name.rsplit('/').next().is_some_and(|last| last.len() <= 64)
    });
    keep(text, ok, "the ARN of a role: `arn:aws:iam::`, 12 digits, `:role/` and its name")
}

text_type!(
    /// A Public Cloud project at OVHcloud.
    OvhProject,
    "project",
    ovh_project
);

fn ovh_project(text: &str) -> Result<String, &'static str> {
    let ok = text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    keep(text, ok, "32 lower-case hexadecimal digits")
}

fn is_plain(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"._-".contains(&b)
}

fn begins_plain(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: std::str::FromStr>(good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(text.parse::<T>().is_ok(), "{text}");
        }
        for text in bad {
            assert!(text.parse::<T>().is_err(), "{text}");
        }
    }

    #[test]
    fn grammars() {
        check::<RegionCode>(&["fsn1", "eu-central-1", "EU-WEST-PAR", "GRA11"], &["", "-a", "a b", "a/b", "é"]);
        check::<SizeCode>(&["cx22", "s-1vcpu-1gb", "t3.micro", "u-6tb1.112xlarge"], &[".a", "a;b", &"x".repeat(65)]);
        check::<AccessKeyId>(&["AKIAIOSFODNN7EXAMPLE"], &["ASIAIOSFODNN7EXAMPLE", "AKIA", "akiaiosfodnn7example"]);
        check::<OvhProject>(
            &[&"0123456789abcdef".repeat(2)],
            &["0123", &"0123456789ABCDEF".repeat(2), &"g".repeat(32)],
        );
        check::<CloudLogin>(
            &["EU.0123456789abcdef", "aBcD0123eFgH4567"],
            &["short", "with space in it", "-option-like"],
        );
        check::<RoleArn>(
            &["arn:aws:iam::123456789012:role/byop", "arn:aws-us-gov:iam::123456789012:role/a/path/by+op=,.@-_"],
            &[
                "arn:aws:iam::12345678901:role/byop",
                "arn:aws:iam::123456789012:user/byop",
                "arn:aws:iam::123456789012:role/",
                "arn:aws:iam::123456789012:role//a",
                "arn:aws:iam::123456789012:role/a b",
                "arn:aws:sts::123456789012:role/byop",
            ],
        );
    }
}
