//! Making ed25519 keys in the form that OpenSSH reads.

use russh::keys::{Algorithm, PrivateKey, PublicKey, key::safe_rng, ssh_key::LineEnding};
use secrecy::SecretString;

use super::SshError;

/// A new key, both halves in OpenSSH's form.
#[derive(Debug)]
pub struct KeyPair {
    /// One line: `ssh-ed25519 AAAA… comment`.
    pub public: String,
    /// PEM.
    pub private: SecretString,
}

/// Makes an ed25519 key.
pub fn generate_key(comment: &str) -> Result<KeyPair, SshError> {
    let mut key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).map_err(|_| SshError::BadKey)?;
    key.set_comment(comment);
    let public = key.public_key().to_openssh().map_err(|_| SshError::BadKey)?;
    let private = key.to_openssh(LineEnding::LF).map_err(|_| SshError::BadKey)?;
    Ok(KeyPair { public, private: SecretString::from(private.to_string()) })
}

/// The public half of a private key.
pub fn public_of(private: &str) -> Result<String, SshError> {
    private_key(private)?.public_key().to_openssh().map_err(|_| SshError::BadKey)
}

pub(super) fn private_key(text: &str) -> Result<PrivateKey, SshError> {
    PrivateKey::from_openssh(text).map_err(|_| SshError::BadKey)
}

pub(super) fn public_key(text: &str) -> Result<PublicKey, SshError> {
    PublicKey::from_openssh(text.trim()).map_err(|_| SshError::BadKey)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_new_key_reads_back() {
        let key = generate_key("byop-host").expect("key");
        assert!(key.public.starts_with("ssh-ed25519 AAAA"), "{}", key.public);
        assert_eq!(public_of(key.private.expose_secret()).expect("reads"), key.public);
        assert_eq!(public_key(&key.public).expect("reads").algorithm(), Algorithm::Ed25519);
    }

    #[test]
    fn other_text_is_no_key() {
        assert!(public_of("-----BEGIN OPENSSH PRIVATE KEY-----\nx\n-----END OPENSSH PRIVATE KEY-----\n").is_err());
        assert!(public_key("ssh-ed25519 AAAA").is_err());
    }
}
