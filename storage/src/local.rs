//! A local folder as a durable store.
//!
//! `object_store`'s own local store never calls fsync: after a power cut an acknowledged object may be missing, empty
//! or torn. Here an object's bytes reach the disk *before* it appears under its key, so that a crash can never leave a
//! half-written log entry behind, and the folder's entry reaches it before the write is acknowledged.

use std::{
    collections::HashSet,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path as FilePath, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart, local::LocalFileSystem,
    path::Path,
};
use parking_lot::Mutex;

const STORE: &str = "local folder";

/// A [`LocalFileSystem`] whose writes survive a power cut.
#[derive(Debug, Clone)]
pub(crate) struct LocalStore {
    inner: Arc<LocalFileSystem>,
    durability: Arc<Durability>,
}

/// Knows which folders are on the disk for sure.
#[derive(Debug)]
struct Durability {
    root: PathBuf,
    known_folders: Mutex<HashSet<PathBuf>>,
}

impl fmt::Display for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalStore({})", self.durability.root.display())
    }
}

impl LocalStore {
    /// Opens a folder, creating it (and its parents) if need be.
    pub(crate) fn open(root: &FilePath) -> Result<Self> {
        fs::create_dir_all(root).map_err(|e| io_failure("creating folder", root, e))?;
        let root = fs::canonicalize(root).map_err(|e| io_failure("resolving folder", root, e))?;
        if let Some(parent) = root.parent() {
            sync_folder(parent)?;
        }
        let inner = Arc::new(LocalFileSystem::new_with_prefix(&root)?);
        Ok(Self { inner, durability: Arc::new(Durability { root, known_folders: Mutex::default() }) })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Durability) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let durability = Arc::clone(&self.durability);
        tokio::task::spawn_blocking(move || work(&durability)).await?
    }
}

impl Durability {
    /// Makes the folder entries that lead to `file` durable: always the one of the file itself, the ones of its
    /// folders only the first time this process meets them.
    fn sync_path(&self, file: &FilePath) -> Result<()> {
        let Some(mut folder) = file.parent() else { return Ok(()) };
        sync_folder(folder)?;
        let mut met = Vec::new();
        while folder != self.root && !self.known_folders.lock().contains(folder) {
            let Some(parent) = folder.parent() else { break };
            sync_folder(parent)?;
            met.push(folder.to_path_buf());
            folder = parent;
        }
        // Only now, when all of them are on the disk: another write may rely on it from here on.
        self.known_folders.lock().extend(met);
        Ok(())
    }

    fn write(&self, path: &FilePath, payload: &PutPayload, create: bool) -> Result<()> {
        let (file, staged) = stage(path)?;
        let outcome = write_and_sync(file, payload)
            .map_err(|e| io_failure("writing", path, e))
            .and_then(|()| if create { link_new(&staged, path) } else { replace(&staged, path) });
        if create || outcome.is_err() {
            // Under its final name the object has a second link; a leftover is invisible to listings anyway.
            let _ = fs::remove_file(&staged);
        }
        if matches!(outcome, Err(Error::AlreadyExists { .. })) {
            // The caller is about to build on the winner's object: make sure that it lasts.
            self.sync_path(path)?;
        }
        outcome?;
        self.sync_path(path)
    }
}

fn sync_folder(folder: &FilePath) -> Result<()> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| io_failure("syncing folder", folder, e))
}

/// Opens a new file next to `path`. Names that end in `#` and digits are not listed by the local store.
fn stage(path: &FilePath) -> Result<(File, PathBuf)> {
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!("#{}", rand::random::<u64>()));
        let staged = PathBuf::from(name);
        match OpenOptions::new().write(true).create_new(true).open(&staged) {
            Ok(file) => return Ok((file, staged)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => create_parents(&staged)?,
            Err(e) => return Err(io_failure("creating", path, e)),
        }
    }
}

fn create_parents(path: &FilePath) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(|e| io_failure("creating folder", parent, e))
}

fn write_and_sync(mut file: File, payload: &PutPayload) -> io::Result<()> {
    payload.iter().try_for_each(|chunk| file.write_all(chunk))?;
    file.sync_all()
}

/// Gives the staged file its name, unless something has that name: a hard link is the atomic way to do so.
fn link_new(staged: &FilePath, path: &FilePath) -> Result<()> {
    fs::hard_link(staged, path).map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path: path.display().to_string(), source: e.into() },
        _ => io_failure("linking", path, e),
    })
}

fn replace(staged: &FilePath, path: &FilePath) -> Result<()> {
    fs::rename(staged, path).map_err(|e| io_failure("renaming", path, e))
}

#[derive(Debug, thiserror::Error)]
#[error("{doing} {path}: {source}")]
struct IoFailure {
    doing: &'static str,
    path: String,
    source: io::Error,
}

fn io_failure(doing: &'static str, path: &FilePath, source: io::Error) -> Error {
    Error::Generic { store: STORE, source: Box::new(IoFailure { doing, path: path.display().to_string(), source }) }
}

#[async_trait]
impl ObjectStore for LocalStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let create = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            // The inner store knows best how to say that it cannot.
            PutMode::Update(_) => return self.inner.put_opts(location, payload, options).await,
        };
        let path = self.inner.path_to_filesystem(location)?;
        self.blocking(move |d| d.write(&path, &payload, create)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let path = self.inner.path_to_filesystem(location)?;
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(LocalUpload { inner, path, store: self.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[std::ops::Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        // Copies are hard links to bytes that were synced when they were written.
        self.inner.copy_opts(from, to, options).await?;
        let path = self.inner.path_to_filesystem(to)?;
        self.blocking(move |d| d.sync_path(&path)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await?;
        let (from, to) = (self.inner.path_to_filesystem(from)?, self.inner.path_to_filesystem(to)?);
        self.blocking(move |d| d.sync_path(&to).and_then(|()| d.sync_path(&from))).await
    }
}

/// An upload that is on the disk when `complete` returns. Its bytes are synced after the object got its name:
/// data files mean nothing before a commit names them, and the commit comes later.
#[derive(Debug)]
struct LocalUpload {
    inner: Box<dyn MultipartUpload>,
    path: PathBuf,
    store: LocalStore,
}

#[async_trait]
impl MultipartUpload for LocalUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.inner.complete().await?;
        let path = self.path.clone();
        self.store
            .blocking(move |d| {
                File::open(&path).and_then(|f| f.sync_all()).map_err(|e| io_failure("syncing", &path, e))?;
                d.sync_path(&path)
            })
            .await?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use object_store::ObjectStoreExt;

    use super::*;

    #[tokio::test]
    async fn folders_are_created_and_staged_files_do_not_stay() {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::open(&dir.path().join("new/data")).unwrap();
        let key = Path::from("a/b/c.json");
        store.put_opts(&key, "one".into(), PutMode::Create.into()).await.unwrap();
        let again = store.put_opts(&key, "two".into(), PutMode::Create.into()).await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })));
        assert_eq!(store.get(&key).await.unwrap().bytes().await.unwrap(), "one");
        store.put(&key, "three".into()).await.unwrap();
        let files: Vec<_> = fs::read_dir(dir.path().join("new/data/a/b")).unwrap().collect();
        assert_eq!(files.len(), 1, "{files:?}");
        let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
        assert_eq!(listed.len(), 1);
    }

    #[tokio::test]
    async fn a_file_in_the_way_of_a_folder_is_an_error_not_a_loop() {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::open(dir.path()).unwrap();
        store.put(&Path::from("a"), "file".into()).await.unwrap();
        assert!(store.put(&Path::from("a/b"), "below a file".into()).await.is_err());
    }
}
