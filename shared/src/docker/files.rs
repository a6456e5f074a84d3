//! Files into and out of containers, as tar archives.
//!
//! Absent: writing into memory (tmpfs) mounts, which the engine's archive call does not see: give such files to
//! `tar -x` by [`super::Exec::stdin`].

use std::{io, path::Path, time::Duration};

use bollard::query_parameters::{DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder};
use bytes::Bytes;
use futures::StreamExt;

use super::{DockerError, Engine, engine::bounded};

const UPLOAD: Duration = Duration::from_secs(600);
const DOWNLOAD: Duration = Duration::from_secs(120);
/// The most that is read back from a container.
const DOWNLOAD_BYTES: usize = 64 << 20;

/// A tar archive being filled. Everything in it belongs to root; times are zero, so equal content gives equal bytes.
pub struct Archive {
    tar: tar::Builder<Vec<u8>>,
}

impl Default for Archive {
    fn default() -> Self {
        Self::new()
    }
}

impl Archive {
    pub fn new() -> Self {
        Self { tar: tar::Builder::new(Vec::new()) }
    }

    pub fn file(mut self, path: impl AsRef<Path>, mode: u32, content: &[u8]) -> Result<Self, DockerError> {
        let mut header = header(tar::EntryType::Regular, mode);
        header.set_size(content.len() as u64);
        self.tar.append_data(&mut header, path, content).map_err(DockerError::Archive)?;
        Ok(self)
    }

    pub fn directory(mut self, path: impl AsRef<Path>, mode: u32) -> Result<Self, DockerError> {
        let mut header = header(tar::EntryType::Directory, mode);
        header.set_size(0);
        self.tar.append_data(&mut header, path, io::empty()).map_err(DockerError::Archive)?;
        Ok(self)
    }

    pub fn into_bytes(self) -> Result<Bytes, DockerError> {
        self.tar.into_inner().map(Bytes::from).map_err(DockerError::Archive)
    }
}

fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

impl Engine {
    /// Unpacks a tar archive into an existing directory of a container.
    pub async fn put(&self, container: &str, directory: &str, tar: Bytes) -> Result<(), DockerError> {
        let options = UploadToContainerOptionsBuilder::new().path(directory).build();
        let upload = self.docker.upload_to_container(container, Some(options), bollard::body_full(tar));
        bounded("copying files into a container", UPLOAD, upload).await
    }

    /// As [`put`](Self::put), reading the archive from a file, so that it need not fit into memory.
    pub async fn put_from_file(&self, container: &str, directory: &str, tar: &Path) -> Result<(), DockerError> {
        let file = tokio::fs::File::open(tar).await.map_err(DockerError::Archive)?;
        let stream = tokio_util::io::ReaderStream::with_capacity(file, 256 * 1024);
        let options = UploadToContainerOptionsBuilder::new().path(directory).build();
        let body = bollard::body_try_stream(stream);
        let upload = self.docker.upload_to_container(container, Some(options), body);
        bounded("copying files into a container", UPLOAD, upload).await
    }

    /// A file or directory of a container, as a tar archive.
    pub async fn get(&self, container: &str, path: &str) -> Result<Bytes, DockerError> {
        let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
        let mut stream = self.docker.download_from_container(container, Some(options));
        let read = async {
            let mut tar = Vec::new();
            while let Some(part) = stream.next().await {
                tar.extend_from_slice(&part?);
                if tar.len() > DOWNLOAD_BYTES {
                    return Err(io::Error::other("too large").into());
                }
            }
            Ok(Bytes::from(tar))
        };
        bounded("copying files out of a container", DOWNLOAD, read).await
    }

    /// The content of one file of a container.
    pub async fn get_file(&self, container: &str, path: &str) -> Result<Vec<u8>, DockerError> {
        let tar = self.get(container, path).await?;
        let mut archive = tar::Archive::new(&tar[..]);
        let mut entries = archive.entries().map_err(DockerError::Archive)?;
        let mut file =
            entries.next().ok_or_else(|| DockerError::NotFound(path.to_owned()))?.map_err(DockerError::Archive)?;
        let mut content = Vec::new();
        io::Read::read_to_end(&mut file, &mut content).map_err(DockerError::Archive)?;
        Ok(content)
    }
}
