//! Secrets at rest: an AEAD envelope bound to the place where it is stored.
//!
//! Invariant: a sealed text opens only with the right key and the same [`Place`] (client, row and field), so a row
//! copied elsewhere does not open; anything else fails closed. Each secret has its own data key, wrapped by the master
//! key, so that the master key can change without touching the secrets. Absent: where the text is kept.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as B64};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hmac::{Hmac, Mac};
use rand::{Rng, RngCore, distributions::Alphanumeric, rngs::OsRng};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{config::ConfigError, domain::ClientId};

const FORMAT: &str = "byop1";
const NONCE: usize = 24;
const KEY: usize = 32;

/// A secret cannot be opened: wrong key, wrong place, or altered. Which of them is not told.
#[derive(Debug, thiserror::Error)]
#[error("a stored secret cannot be opened")]
pub struct Sealed;

/// Where a secret is stored.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub client: ClientId,
    /// Table and column, for example `app_env.value`.
    pub field: &'static str,
    /// The row's key.
    pub row: &'a str,
}

impl Place<'_> {
    fn aad(&self) -> Vec<u8> {
        format!("{FORMAT}|{}|{}|{}", self.client, self.field, self.row).into_bytes()
    }
}

/// The master key that wraps every data key.
#[derive(Clone)]
pub struct MasterKey {
    cipher: XChaCha20Poly1305,
    id: String,
    fingerprints: Hmac<Sha256>,
}

impl MasterKey {
    /// Reads `BYOP_MASTER_KEY`: 32 random bytes in base64 (`openssl rand -base64 32`).
    pub fn from_env() -> Result<Self, ConfigError> {
        const NAME: &str = "BYOP_MASTER_KEY";
        let text = SecretString::from(crate::config::required(NAME)?);
        let text = text.expose_secret().trim().trim_end_matches('=');
        let bytes = Zeroizing::new(B64.decode(text).map_err(|_| ConfigError::invalid(NAME, "is not base64"))?);
        Self::new(&bytes).ok_or_else(|| ConfigError::invalid(NAME, "needs exactly 32 bytes"))
    }

    /// A master key of exactly 32 bytes.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let cipher = XChaCha20Poly1305::new_from_slice(bytes).ok()?;
        let id = hex::encode(&Sha256::digest(bytes)[..4]);
        let mut fingerprints = <Hmac<Sha256> as Mac>::new_from_slice(bytes).ok()?;
        fingerprints.update(b"byop1|fingerprint|");
        Some(Self { cipher, id, fingerprints })
    }

    /// A short text that differs when these parts do, and tells nothing of them to whoever lacks the key.
    pub fn fingerprint<'a>(&self, client: ClientId, parts: impl IntoIterator<Item = &'a str>) -> String {
        let mut mac = self.fingerprints.clone();
        mac.update(client.to_string().as_bytes());
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part.as_bytes());
        }
        hex::encode(&mac.finalize().into_bytes()[..16])
    }

    /// Seals `plain` for one place.
    pub fn seal(&self, place: Place<'_>, plain: &[u8]) -> Result<String, Sealed> {
        let mut key = Zeroizing::new([0u8; KEY]);
        OsRng.fill_bytes(&mut key[..]);
        let data = XChaCha20Poly1305::new_from_slice(&key[..]).map_err(|_| Sealed)?;
        let wrapped = encrypt(&self.cipher, &place.aad(), &key[..])?;
        let body = encrypt(&data, &place.aad(), plain)?;
        Ok(format!("{FORMAT}.{}.{}.{}", self.id, B64.encode(wrapped), B64.encode(body)))
    }

    /// Opens what [`seal`](Self::seal) made for the same place.
    pub fn open(&self, place: Place<'_>, sealed: &str) -> Result<Zeroizing<Vec<u8>>, Sealed> {
        let mut parts = sealed.split('.');
        let (Some(FORMAT), Some(id), Some(wrapped), Some(body), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Sealed);
        };
        if id != self.id {
            return Err(Sealed);
        }
        let key = decrypt(&self.cipher, &place.aad(), wrapped)?;
        let data = XChaCha20Poly1305::new_from_slice(&key).map_err(|_| Sealed)?;
        decrypt(&data, &place.aad(), body)
    }

    /// As [`open`](Self::open), for a secret that is text.
    pub fn open_text(&self, place: Place<'_>, sealed: &str) -> Result<SecretString, Sealed> {
        let bytes = self.open(place, sealed)?;
        Ok(SecretString::from(std::str::from_utf8(&bytes).map_err(|_| Sealed)?))
    }
}

/// SHA-256 in hex: how random tokens (256 bit) are kept. Not for passwords.
pub fn token_hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

/// 256 random bits in URL-safe base64.
pub fn random_token() -> String {
    let mut bytes = [0u8; 32];
    OsRng.fill_bytes(&mut bytes);
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// A password of 32 letters and digits, some 190 bits, which stands anywhere without escaping.
pub fn random_password() -> String {
    OsRng.sample_iter(Alphanumeric).take(32).map(char::from).collect()
}

fn encrypt(cipher: &XChaCha20Poly1305, aad: &[u8], msg: &[u8]) -> Result<Vec<u8>, Sealed> {
    let mut out = vec![0u8; NONCE];
    OsRng.fill_bytes(&mut out);
    let body = cipher.encrypt(XNonce::from_slice(&out), Payload { msg, aad }).map_err(|_| Sealed)?;
    out.extend(body);
    Ok(out)
}

fn decrypt(cipher: &XChaCha20Poly1305, aad: &[u8], text: &str) -> Result<Zeroizing<Vec<u8>>, Sealed> {
    let bytes = B64.decode(text).map_err(|_| Sealed)?;
    let (nonce, body) = bytes.split_at_checked(NONCE).ok_or(Sealed)?;
    cipher.decrypt(XNonce::from_slice(nonce), Payload { msg: body, aad }).map(Zeroizing::new).map_err(|_| Sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(client: ClientId, row: &str) -> Place<'_> {
        Place { client, field: "test.value", row }
    }

    #[test]
    fn opens_only_in_its_place() {
        let key = MasterKey::new(&[7; 32]).expect("32 bytes");
        let client = ClientId::new();
        let sealed = key.seal(place(client, "a"), b"hunter2").expect("sealed");
        assert_eq!(&key.open(place(client, "a"), &sealed).expect("opens")[..], b"hunter2");
        assert!(key.open(place(client, "b"), &sealed).is_err());
        assert!(key.open(place(ClientId::new(), "a"), &sealed).is_err());
        assert!(key.open(Place { field: "test.other", ..place(client, "a") }, &sealed).is_err());
        assert!(MasterKey::new(&[8; 32]).expect("32 bytes").open(place(client, "a"), &sealed).is_err());
        assert!(!sealed.contains("hunter2"));
    }

    #[test]
    fn a_fingerprint_differs_with_every_part_and_the_key() {
        let (key, client) = (MasterKey::new(&[7; 32]).expect("32 bytes"), ClientId::new());
        let one = key.fingerprint(client, ["A", "b"]);
        assert_eq!(one, key.fingerprint(client, ["A", "b"]));
        for other in [["A", "c"], ["Ab", ""], ["", "Ab"]] {
            assert_ne!(one, key.fingerprint(client, other));
        }
        assert_ne!(one, key.fingerprint(ClientId::new(), ["A", "b"]));
        assert_ne!(one, MasterKey::new(&[8; 32]).expect("32 bytes").fingerprint(client, ["A", "b"]));
    }

    #[test]
    fn every_altered_byte_is_refused() {
        let key = MasterKey::new(&[7; 32]).expect("32 bytes");
        let client = ClientId::new();
        let sealed = key.seal(place(client, "a"), b"x").expect("sealed");
        for i in 0..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[i] = if bytes[i] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(bytes).expect("ascii");
            assert!(key.open(place(client, "a"), &altered).is_err(), "byte {i}");
            assert!(key.open(place(client, "a"), &sealed[..i]).is_err(), "cut at {i}");
        }
    }
}
