//! The format of a copy: an age file (<https://age-encryption.org/v1>) for one X25519 recipient, which the `age` program
//! opens with the client's key.
//!
//! Invariant: a copy that was cut off or altered does not open to its end. Absent: where keys are kept.

use std::{
    io::{self, Write},
    iter,
    sync::{Arc, Mutex, PoisonError},
};

use age::{Decryptor, Encryptor, Identity, Recipient, stream::StreamWriter, x25519};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::AsyncRead;
use tokio_util::compat::{FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};

use crate::failure::Failure;

/// What a client's copies are encrypted with.
#[derive(Clone, Debug)]
pub struct Key {
    /// `age1…`; anybody may know it.
    pub recipient: String,
    /// `AGE-SECRET-KEY-1…`
    pub identity: SecretString,
}

/// A new key.
pub fn new_key() -> Key {
    let identity = x25519::Identity::generate();
    Key {
        recipient: identity.to_public().to_string(),
        identity: identity.to_string().expose_secret().to_owned().into(),
    }
}

fn unusable() -> Failure {
    Failure::permanent("backup_key_invalid", "the stored key of the backups is not valid")
}

/// What was encrypted and not yet taken.
#[derive(Clone, Default)]
struct Outgoing(Arc<Mutex<Vec<u8>>>);

impl Outgoing {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Encrypts piece by piece.
pub(super) struct Encrypting {
    /// Until the end.
    writer: Option<StreamWriter<Outgoing>>,
    outgoing: Outgoing,
}

impl Encrypting {
    pub fn to(recipient: &str) -> Result<Self, Failure> {
        let recipient: x25519::Recipient = recipient.parse().map_err(|_| unusable())?;
        let encryptor = Encryptor::with_recipients(iter::once(&recipient as &dyn Recipient)).map_err(|_| unusable())?;
        let outgoing = Outgoing::default();
        let writer = encryptor.wrap_output(outgoing.clone()).map_err(|_| unusable())?;
        Ok(Self { writer: Some(writer), outgoing })
    }

    /// The encrypted form of `plain`, or of what came before it: some is held back until its piece is full.
    pub fn push(&mut self, plain: &[u8]) -> Result<Vec<u8>, Failure> {
        self.writer.as_mut().ok_or_else(unusable)?.write_all(plain).map_err(|_| unusable())?;
        Ok(self.outgoing.take())
    }

    /// The rest, and the mark of the end.
    pub fn finish(&mut self) -> Result<Vec<u8>, Failure> {
        self.writer.take().ok_or_else(unusable)?.finish().map_err(|_| unusable())?;
        Ok(self.outgoing.take())
    }
}

/// Reads what `input` holds in clear.
pub(super) async fn decrypt<R>(identity: &SecretString, input: R) -> Result<impl AsyncRead + Send + Unpin, Failure>
where
    R: AsyncRead + Send + Unpin,
{
    let identity: x25519::Identity = identity.expose_secret().parse().map_err(|_| unusable())?;
    let wrong =
        |e: age::DecryptError| Failure::permanent("backup_unreadable", format!("the object cannot be decrypted: {e}"));
    let decryptor = Decryptor::new_async(input.compat()).await.map_err(wrong)?;
    let clear = decryptor.decrypt_async(iter::once(&identity as &dyn Identity)).map_err(wrong)?;
    Ok(clear.compat())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn opened(key: &Key, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut clear = decrypt(&key.identity, bytes).await.map_err(io::Error::other)?;
        let mut all = Vec::new();
        clear.read_to_end(&mut all).await.map(|_| all)
    }

    fn encrypted(key: &Key, plain: &[u8]) -> Vec<u8> {
        let mut encrypting = Encrypting::to(&key.recipient).expect("a key");
        let mut bytes = Vec::new();
        for piece in plain.chunks(10_000) {
            bytes.extend(encrypting.push(piece).expect("encrypted"));
        }
        bytes.extend(encrypting.finish().expect("encrypted"));
        bytes
    }

    #[tokio::test]
    async fn what_is_encrypted_opens_with_its_key_alone_and_whole() {
        let (key, other) = (new_key(), new_key());
        let plain: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
        let bytes = encrypted(&key, &plain);
        assert!(bytes.starts_with(b"age-encryption.org/v1\n-> X25519 "));
        assert_eq!(opened(&key, &bytes).await.expect("opens"), plain);
        assert_eq!(opened(&key, &encrypted(&key, b"")).await.expect("opens"), b"");
        assert!(opened(&other, &bytes).await.is_err());
        for cut in [bytes.len() - 1, 200_000, 250, 10] {
            assert!(opened(&key, &bytes[..cut]).await.is_err(), "cut at {cut}");
        }
        let mut altered = bytes.clone();
        altered[150_000] ^= 1;
        assert!(opened(&key, &altered).await.is_err());
        // Keys are not shown by accident.
        assert!(!format!("{key:?}").contains("SECRET-KEY"));
    }
}
