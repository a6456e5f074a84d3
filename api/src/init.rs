//! `api init`: what has to exist before the registry and the server start.
//!
//! Invariant: running it again changes nothing that exists; the private key is never readable by others.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use shared::config::optional;

use crate::config::RegistryFiles;

#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error("{path} cannot be written: {source}")]
    Write { path: String, source: io::Error },
    #[error("the keys or certificates of the registry cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("{0} exists without its other half; remove it, or put the other file back")]
    Half(String),
}

/// Makes what the registry and its token server need: see [`make_token_files`] and, where the settings name addresses
/// for it, [`make_tls_files`].
pub fn make_registry_files(files: &RegistryFiles) -> Result<(), InitError> {
    make_token_files(files)?;
    TlsFiles::from_env(files).map_or(Ok(()), |tls| make_tls_files(&tls))
}

/// Makes the key that signs registry tokens and its self-signed certificate, unless both exist.
fn make_token_files(files: &RegistryFiles) -> Result<(), InitError> {
    match (files.key.exists(), files.certificate.exists()) {
        (true, true) => return Ok(()),
        (false, true) => return Err(InitError::Half(files.certificate.display().to_string())),
        // A run that was killed between the two files: the key alone gave no token to anybody.
        (true, false) => fs::remove_file(&files.key).map_err(|source| failed(&files.key, source))?,
        (false, false) => {}
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    write(&files.key, key.serialize_pem().as_bytes(), 0o600)?;
    write(&files.certificate, named("byop-engine registry tokens").self_signed(&key)?.pem().as_bytes(), 0o644)
}

/// The registry's TLS certificate where no public authority gives it one: on a developer's machine or a private network.
struct TlsFiles {
    /// Addresses and names that the registry is reached by.
    names: Vec<String>,
    key: PathBuf,
    certificate: PathBuf,
    /// What clients of the registry trust.
    authority: PathBuf,
}

impl TlsFiles {
    /// `BYOP_REGISTRY_TLS_NAMES` says for which names; without it there is nothing to make. The files stand beside the
    /// token certificate, because the same registry reads them.
    fn from_env(files: &RegistryFiles) -> Option<Self> {
        let names = optional("BYOP_REGISTRY_TLS_NAMES")?;
        let beside = |name| files.certificate.with_file_name(name);
        Some(Self {
            names: names.split([',', ' ']).filter(|n| !n.is_empty()).map(str::to_owned).collect(),
            key: beside("registry-tls.key"),
            certificate: beside("registry-tls.crt"),
            authority: optional("BYOP_REGISTRY_CA_FILE").map_or_else(|| beside("registry-ca.crt"), PathBuf::from),
        })
    }
}

/// Makes an authority and the one certificate that it ever signs, unless they exist: the authority's key is not kept.
/// The certificate is written last, so that it stands for the whole; what a killed run left is made again.
fn make_tls_files(files: &TlsFiles) -> Result<(), InitError> {
    if files.certificate.exists() {
        let other = [&files.key, &files.authority].into_iter().find(|f| !f.exists());
        return other.map_or(Ok(()), |_| Err(InitError::Half(files.certificate.display().to_string())));
    }
    let (authority_key, key) =
        (KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?);
    let mut authority = named("byop-engine registry authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let mut leaf = named("byop-engine registry");
    leaf.subject_alt_names = CertificateParams::new(files.names.clone())?.subject_alt_names;
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let root = authority.self_signed(&authority_key)?.pem();
    let certificate = leaf.signed_by(&key, &Issuer::new(authority, authority_key))?.pem();
    write(&files.key, key.serialize_pem().as_bytes(), 0o600)?;
    write(&files.authority, root.as_bytes(), 0o644)?;
    write(&files.certificate, certificate.as_bytes(), 0o644)
}

/// A certificate's terms. Registries and their clients are told of ours by hand, so they do not run out by themselves.
fn named(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    params.distinguished_name = name;
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2075, 1, 1);
    params
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

    #[test]
    fn a_registry_without_a_public_certificate_gets_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = TlsFiles {
            names: vec!["172.17.0.1".into(), "registry.internal".into()],
            key: dir.path().join("k"),
            certificate: dir.path().join("c"),
            authority: dir.path().join("a"),
        };
        make_tls_files(&files).expect("made");
        let read = |path: &PathBuf| fs::read_to_string(path).expect("readable");
        let first = (read(&files.key), read(&files.certificate), read(&files.authority));
        make_tls_files(&files).expect("again");
        assert_eq!(first, (read(&files.key), read(&files.certificate), read(&files.authority)));
        assert_eq!(fs::metadata(&files.key).expect("key").permissions().mode() & 0o777, 0o600);
        // A run that was killed before its last file is repeated; a lost file is not replaced in silence.
        fs::remove_file(&files.certificate).expect("removed");
        make_tls_files(&files).expect("repeated");
        assert_ne!(first.2, read(&files.authority));
        fs::remove_file(&files.authority).expect("removed");
        assert!(matches!(make_tls_files(&files), Err(InitError::Half(_))));
    }
}
