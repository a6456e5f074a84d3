//! `api init`: what has to exist before the registry and the server start.
//!
//! Invariant: running it again changes nothing that exists; the private key is never readable by others.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, date_time_ymd};

use crate::config::RegistryFiles;

#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error("{path} cannot be written: {source}")]
    Write { path: String, source: io::Error },
    #[error("the key or certificate for registry tokens cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("{0} exists without its other half; remove it, or put the other file back")]
    Half(String),
}

/// Makes the key that signs registry tokens and its self-signed certificate, unless both exist.
pub fn make_registry_files(files: &RegistryFiles) -> Result<(), InitError> {
    match (files.key.exists(), files.certificate.exists()) {
        (true, true) => return Ok(()),
        (false, true) => return Err(InitError::Half(files.certificate.display().to_string())),
        // A run that was killed between the two files: the key alone gave no token to anybody.
        (true, false) => fs::remove_file(&files.key).map_err(|source| failed(&files.key, source))?,
        (false, false) => {}
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    write(&files.key, key.serialize_pem().as_bytes(), 0o600)?;
    write(&files.certificate, self_signed(&key)?.as_bytes(), 0o644)
}

fn self_signed(key: &KeyPair) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "byop-engine registry tokens");
    params.distinguished_name = name;
    params.not_before = date_time_ymd(2025, 1, 1);
    // Registries are told this certificate by hand, so it does not run out by itself.
    params.not_after = date_time_ymd(2075, 1, 1);
    Ok(params.self_signed(key)?.pem())
}

/// Writes beside the place and renames, so that there is never half a file.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), InitError> {
    let write = || {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let new = path.with_extension("new");
        if new.exists() {
            fs::remove_file(&new)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(|source| failed(path, source))
}

fn failed(path: &Path, source: io::Error) -> InitError {
    InitError::Write { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_are_made_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = RegistryFiles {
            service: "s".into(),
            key: dir.path().join("sub/t.key"),
            certificate: dir.path().join("sub/t.crt"),
        };
        make_registry_files(&files).expect("made");
        let first = (fs::read(&files.key).expect("key"), fs::read(&files.certificate).expect("certificate"));
        make_registry_files(&files).expect("again");
        assert_eq!(first, (fs::read(&files.key).expect("key"), fs::read(&files.certificate).expect("certificate")));
        assert_eq!(fs::metadata(&files.key).expect("key").permissions().mode() & 0o777, 0o600);
        fs::remove_file(&files.key).expect("removed");
        assert!(matches!(make_registry_files(&files), Err(InitError::Half(_))));
    }
}
