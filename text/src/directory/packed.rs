//! tantivy's files as parts of one piece of memory.

use std::{
    collections::HashMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tantivy::{
    Directory,
    directory::{
        DirectoryLock, FileHandle, Lock, OwnedBytes, WatchCallback, WatchHandle, WritePtr,
        error::{DeleteError, LockError, OpenReadError, OpenWriteError},
    },
};

/// Files that are only read, none of them copied.
#[derive(Clone)]
pub(crate) struct Packed {
    files: Arc<HashMap<PathBuf, OwnedBytes>>,
}

impl Packed {
    pub fn new(files: HashMap<PathBuf, OwnedBytes>) -> Self {
        Self { files: Arc::new(files) }
    }

    fn file(&self, path: &Path) -> Result<&OwnedBytes, OpenReadError> {
        self.files.get(path).ok_or_else(|| OpenReadError::FileDoesNotExist(path.to_owned()))
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.files.keys()).finish()
    }
}

impl Directory for Packed {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        Ok(Arc::new(self.file(path)?.clone()))
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        Err(DeleteError::IoError { io_error: Arc::new(read_only()), filepath: path.to_owned() })
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        Ok(self.files.contains_key(path))
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        Err(OpenWriteError::IoError { io_error: Arc::new(read_only()), filepath: path.to_owned() })
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        Ok(self.file(path)?.to_vec())
    }

    fn atomic_write(&self, _path: &Path, _data: &[u8]) -> io::Result<()> {
        Err(read_only())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    // Locks keep readers from files that are being deleted, and here none are.
    fn acquire_lock(&self, _lock: &Lock) -> Result<DirectoryLock, LockError> {
        Ok(DirectoryLock::from(Box::new(())))
    }

    fn watch(&self, _callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "a packed index does not change")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_and_nothing_is_written() {
        let all = OwnedBytes::new(b"hello world".to_vec());
        let packed = Packed::new([(PathBuf::from("w"), all.slice(6..11))].into());
        let file = Path::new("w");
        assert_eq!(packed.atomic_read(file).unwrap(), b"world");
        let bytes = packed.get_file_handle(file).unwrap().read_bytes(0..5).unwrap();
        assert_eq!(bytes.as_ptr(), all.slice(6..11).as_ptr());
        assert!(packed.exists(file).unwrap() && !packed.exists(Path::new("x")).unwrap());
        assert!(packed.open_write(Path::new("x")).is_err() && packed.atomic_write(file, b"").is_err());
        assert!(packed.delete(file).is_err());
    }
}
