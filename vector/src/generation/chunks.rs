//! Local files, read and written in large pieces off the async threads, and hashed on the way.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{Written, blocking, hex};
use crate::{Error, Result};

/// A file that is read from its start to its end.
pub(super) struct Reader {
    path: PathBuf,
    state: Option<(File, Sha256)>,
    bytes: u64,
}

impl Reader {
    pub(super) async fn open(path: &Path) -> Result<(Self, u64)> {
        let path = path.to_owned();
        blocking(move || {
            let file = File::open(&path).map_err(|e| local("opening", &path, e))?;
            let size = file.metadata().map_err(|e| local("looking at", &path, e))?.len();
            Ok((Self { path, state: Some((file, Sha256::new())), bytes: 0 }, size))
        })
        .await
    }

    /// The next `size` bytes; fewer at the end, and then none.
    pub(super) async fn next(&mut self, size: u64) -> Result<Bytes> {
        let (mut file, mut hash) = self.state.take().ok_or_else(interrupted)?;
        let path = self.path.clone();
        let (chunk, file, hash) = blocking(move || {
            let mut chunk = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
            Read::by_ref(&mut file).take(size).read_to_end(&mut chunk).map_err(|e| local("reading", &path, e))?;
            hash.update(&chunk);
            Ok((Bytes::from(chunk), file, hash))
        })
        .await?;
        self.state = Some((file, hash));
        self.bytes += chunk.len() as u64;
        Ok(chunk)
    }

    /// What was read so far.
    pub(super) fn finish(self) -> Result<Written> {
        let (_, hash) = self.state.ok_or_else(interrupted)?;
        Ok(Written { bytes: self.bytes, sha256: hex(&hash.finalize()) })
    }
}

/// A file that is being written, under a name of its own. It is removed again unless it is put in its place.
pub(super) struct Writer {
    path: PathBuf,
    state: Option<(File, Sha256)>,
    bytes: u64,
}

impl Writer {
    pub(super) async fn create(path: PathBuf) -> Result<Self> {
        blocking(move || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).map_err(|e| local("creating folder", folder, e))?;
            }
            let file = File::create_new(&path).map_err(|e| local("creating", &path, e))?;
            Ok(Self { path, state: Some((file, Sha256::new())), bytes: 0 })
        })
        .await
    }

    pub(super) async fn write(&mut self, pieces: Vec<Bytes>) -> Result<()> {
        let (mut file, mut hash) = self.state.take().ok_or_else(interrupted)?;
        let path = self.path.clone();
        let bytes: usize = pieces.iter().map(Bytes::len).sum();
        let state = blocking(move || {
            for piece in pieces {
                hash.update(&piece);
                file.write_all(&piece).map_err(|e| local("writing", &path, e))?;
            }
            Ok((file, hash))
        })
        .await?;
        self.state = Some(state);
        self.bytes += bytes as u64;
        Ok(())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The checksum of what was written.
    pub(super) fn sha256(&self) -> Result<String> {
        let (_, hash) = self.state.as_ref().ok_or_else(interrupted)?;
        Ok(hex(&hash.clone().finalize()))
    }

    /// Gives the file its name.
    pub(super) async fn place(self, to: PathBuf) -> Result<()> {
        blocking(move || fs::rename(&self.path, &to).map_err(|e| local("renaming to", &to, e))).await
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // It is not there any more when it was put in its place.
        let _ = fs::remove_file(&self.path);
    }
}

/// An error of a local file.
pub(super) fn local(doing: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::Local { doing, path: path.to_owned(), source }
}

fn interrupted() -> Error {
    Error::Internal("a file is used after an operation on it has failed".to_owned())
}

#[cfg(test)]
mod tests {
    use skein_model::{ErrorKind, Kind};

    use super::*;

    #[tokio::test]
    async fn what_is_written_is_read_with_the_same_checksum() {
        let folder = tempfile::tempdir().unwrap();
        let (part, path) = (folder.path().join("deep/x.part"), folder.path().join("deep/x"));
        let mut writer = Writer::create(part.clone()).await.unwrap();
        writer.write(vec!["abc".into(), "de".into()]).await.unwrap();
        writer.write(vec!["f".into()]).await.unwrap();
        let sha256 = writer.sha256().unwrap();
        writer.place(path.clone()).await.unwrap();
        let (mut reader, size) = Reader::open(&path).await.unwrap();
        let mut chunks = Vec::new();
        while let Some(chunk) = Some(reader.next(4).await.unwrap()).filter(|chunk| !chunk.is_empty()) {
            chunks.push(chunk);
        }
        assert_eq!((size, chunks), (6, vec![Bytes::from("abcd"), Bytes::from("ef")]));
        assert_eq!(reader.finish().unwrap(), Written { bytes: 6, sha256 });
        drop(Writer::create(part.clone()).await.unwrap());
        assert!(!part.exists(), "what is not put in its place leaves nothing");
    }

    #[tokio::test]
    async fn errors_name_the_file_and_a_full_disk_is_told_from_others() {
        let missing = Reader::open(Path::new("/nowhere/index.faiss")).await.err().unwrap();
        assert!(missing.to_string().contains("/nowhere/index.faiss"), "{missing}");
        let full = local("writing", Path::new("/x"), std::io::ErrorKind::StorageFull.into());
        assert_eq!(full.kind(), ErrorKind::ResourceExhausted);
        assert!(full.to_string().contains("make some room"), "{full}");
    }
}
