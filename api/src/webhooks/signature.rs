//! Signatures as in Standard Webhooks: HMAC-SHA256 over the message's id, the moment of the attempt and the body.
//!
//! Absent: where secrets are kept.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use shared::secrets::random_token;
use zeroize::Zeroizing;

/// What a secret begins with; base64 of its bytes follows.
const PREFIX: &str = "whsec_";

/// A new secret of 32 random bytes, as it is shown to the client.
pub fn new_secret() -> SecretString {
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(random_token()).unwrap_or_default());
    format!("{PREFIX}{}", STANDARD.encode(&*bytes)).into()
}

/// The signature of an attempt at `at` (unix seconds): `v1,` and base64. `None` for what is no secret of 24 to 64 bytes.
pub fn sign(secret: &SecretString, id: &str, at: i64, body: &str) -> Option<String> {
    let key = Zeroizing::new(STANDARD.decode(secret.expose_secret().strip_prefix(PREFIX)?).ok()?);
    if !(24..=64).contains(&key.len()) {
        return None;
    }
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_example() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned().into();
        let signed = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn new_secrets_sign_and_others_do_not() {
        let (one, other) = (new_secret(), new_secret());
        assert_ne!(one.expose_secret(), other.expose_secret());
        assert_eq!(one.expose_secret().len(), "whsec_".len() + 44);
        let signed = |secret: &SecretString| sign(secret, "a", 1, "{}");
        assert!(signed(&one).is_some() && signed(&one) != signed(&other));
        for bad in
            ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa*w"]
        {
            assert_eq!(signed(&bad.to_owned().into()), None, "{bad}");
        }
    }
}
