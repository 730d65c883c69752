//! A file put aside, for formats that have to be read from their end.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

use crate::{Error, Result};

const BUFFER: usize = 1 << 20;

/// Copies `plain` into a temporary file without a name: however the server ends, the file is gone.
///
/// # Errors
/// When `plain` cannot be read to its end, or the disk is full.
pub(crate) fn spool(plain: &mut impl Read, folder: Option<&Path>, file_name: &str) -> Result<File> {
    let failed = |source| Error::Io { context: "putting a file aside for reading", source };
    let mut file = match folder {
        Some(folder) => tempfile::tempfile_in(folder),
        None => tempfile::tempfile(),
    }
    .map_err(failed)?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = match plain.read(&mut buffer) {
            Ok(0) => return Ok(file),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::from_io(file_name, error)),
        };
        file.write_all(buffer.get(..count).unwrap_or_default()).map_err(failed)?;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom};

    use super::*;

    #[test]
    fn the_bytes_are_all_there_and_the_folder_stays_empty() {
        let folder = tempfile::tempdir().unwrap();
        let data: Vec<u8> = (0..3_000_000_u32).map(|i| i.to_le_bytes()[0]).collect();
        let mut file = spool(&mut data.as_slice(), Some(folder.path()), "f").unwrap();
        let mut back = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut back).unwrap();
        assert_eq!(back, data);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        assert!(spool(&mut &b"x"[..], Some(Path::new("/does/not/exist")), "f").is_err());
    }
}
