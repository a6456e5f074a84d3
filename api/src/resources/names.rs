//! Names for people, and SSH public keys that a client gives us.

use base64::{Engine as _, engine::general_purpose::STANDARD as B64};

use shared::store::DbError;

use crate::problem::Problem;

const KEY_TYPES: [&str; 5] =
    ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"];

/// A name for people: 1 to 100 characters on one line.
pub fn display_name(text: &str) -> Result<String, Problem> {
    let text = text.trim();
    if !(1..=100).contains(&text.chars().count()) || text.chars().any(char::is_control) {
        return Err(Problem::invalid("invalid_body", "A name has 1 to 100 characters on one line."));
    }
    Ok(text.to_owned())
}

/// What is answered to a slug that `what` of the client has already.
pub fn slug_taken(what: &'static str) -> impl Fn(DbError) -> Problem {
    move |error| match error.is_unique_violation() {
        true => Problem::conflict("slug_taken", format!("You have {what} with this slug.")),
        false => error.into(),
    }
}

/// One line of OpenSSH, without its comment: a known type, and a body that says the same type.
pub fn public_key(text: &str) -> Result<String, Problem> {
    let refused = || Problem::invalid("invalid_public_key", "A public key is one line: its type, then base64.");
    let mut parts = text.split_ascii_whitespace();
    let (kind, body) = parts.next().zip(parts.next()).ok_or_else(refused)?;
    let bytes = B64.decode(body).map_err(|_| refused())?;
    let (length, rest) = bytes.split_at_checked(4).ok_or_else(refused)?;
    let named = u32::from_be_bytes(length.try_into().map_err(|_| refused())?) as usize;
    let same = KEY_TYPES.contains(&kind) && rest.get(..named) == Some(kind.as_bytes()) && rest.len() > named + 4;
    if same && text.len() <= 4096 && !text.trim().contains('\n') {
        Ok(format!("{kind} {body}"))
    } else {
        Err(refused())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_keys() {
        let good = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
        assert_eq!(public_key(&format!("{good} git@forge")).expect("accepted"), good);
        let other_type = good.replacen("ssh-ed25519", "ssh-rsa", 1);
        for bad in
            ["", "ssh-ed25519", "ssh-ed25519 AAAA", &other_type, &format!("{good}\n{good}"), "* ssh-ed25519 AAAA"]
        {
            assert!(public_key(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn display_names() {
        assert_eq!(display_name(" Müller & Söhne ").expect("accepted"), "Müller & Söhne");
        for bad in ["", "  ", "a\nb", &"x".repeat(101)] {
            assert!(display_name(bad).is_err(), "{bad:?}");
        }
    }
}
