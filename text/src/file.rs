//! The one file that an index is stored in.
//!
//! "SKEINTXT", the format's version and the length of the table (4 bytes each, little-endian), the table as JSON, tantivy's files one after
//! the other, and a CRC-32 of everything before it. All of it is checked before tantivy sees a byte, since it believes what it reads.

use std::{collections::HashMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use tantivy::directory::OwnedBytes;

use crate::{TextSpec, directory::Packed};

const MAGIC: &[u8; 8] = b"SKEINTXT";
const VERSION: u32 = 1;
/// Bytes before the table.
const HEAD: usize = 16;
/// Bytes of the checksum.
const FOOT: usize = 4;

/// The version of the library that reads and writes what is in the file.
pub fn version() -> &'static str {
    tantivy::version_string()
}

/// What a file holds.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Table {
    pub spec: TextSpec,
    pub texts: u32,
    /// Names and lengths in bytes.
    pub files: Vec<(String, u64)>,
}

impl Table {
    /// The bytes of a file, up to where those of tantivy's files begin.
    pub fn head(&self) -> Result<Vec<u8>, String> {
        let table = serde_json::to_vec(self).map_err(|error| error.to_string())?;
        let length = u32::try_from(table.len()).map_err(|error| error.to_string())?;
        Ok([MAGIC.as_slice(), &VERSION.to_le_bytes(), &length.to_le_bytes(), &table].concat())
    }
}

/// Adds the checksum to bytes that are complete.
pub(crate) fn seal(bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
}

/// Reads a file, or says what is wrong with it.
pub(crate) fn open(bytes: &OwnedBytes) -> Result<(Table, Packed), String> {
    let head = bytes.get(..HEAD).ok_or("it is shorter than its header")?;
    if !head.starts_with(MAGIC) {
        return Err("it is no text index".into());
    }
    let number = |at: usize| head.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes);
    if number(8) != VERSION {
        return Err(format!("it has version {}, and this server reads version {VERSION}", number(8)));
    }
    let length = usize::try_from(number(12)).unwrap_or(usize::MAX);
    let end = HEAD.saturating_add(length);
    let table = bytes.get(HEAD..end).ok_or("its table of contents is cut off")?;
    let body_end = bytes.len().checked_sub(FOOT).ok_or("its checksum is cut off")?;
    let (body, checksum) = bytes.split_at(body_end);
    if crc32fast::hash(body).to_le_bytes() != checksum {
        return Err("its checksum does not match, bytes are missing or were changed".into());
    }
    let table: Table = serde_json::from_slice(table).map_err(|error| format!("its table of contents: {error}"))?;
    let mut files = HashMap::new();
    let mut at = end;
    for (name, length) in &table.files {
        let next = usize::try_from(*length).ok().and_then(|length| at.checked_add(length));
        let next = next.filter(|next| *next <= body_end).ok_or_else(|| format!("its part '{name}' is cut off"))?;
        files.insert(PathBuf::from(name), bytes.slice(at..next));
        at = next;
    }
    if at != body_end {
        return Err("it is longer than its parts".into());
    }
    Ok((table, Packed::new(files)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tantivy::Directory;

    use super::*;

    fn file() -> Vec<u8> {
        let files = vec![("a".to_owned(), 2), ("b".to_owned(), 0), ("c".to_owned(), 3)];
        let mut bytes = Table { spec: TextSpec::default(), texts: 7, files }.head().unwrap();
        bytes.extend_from_slice(b"aaccc");
        seal(&mut bytes);
        bytes
    }

    fn reason(bytes: Vec<u8>) -> String {
        open(&OwnedBytes::new(bytes)).unwrap_err()
    }

    #[test]
    fn parts_come_back() {
        let (table, packed) = open(&OwnedBytes::new(file())).unwrap();
        assert_eq!((table.texts, table.spec), (7, TextSpec::default()));
        assert_eq!(packed.atomic_read(Path::new("c")).unwrap(), b"ccc");
        assert_eq!(packed.atomic_read(Path::new("b")).unwrap(), b"");
    }

    #[test]
    fn whatever_is_missing_or_changed_is_seen() {
        let whole = file();
        for length in 0..whole.len() {
            open(&OwnedBytes::new(whole[..length].to_vec())).unwrap_err();
        }
        for at in 0..whole.len() * 8 {
            let mut changed = whole.clone();
            changed[at / 8] ^= 1 << (at % 8);
            open(&OwnedBytes::new(changed)).unwrap_err();
        }
        assert_eq!(reason(b"PAR1 of quite another kind".to_vec()), "it is no text index");
        let mut newer = whole.clone();
        newer[8] = 2;
        assert!(reason(newer).contains("version 2"));
    }

    #[test]
    fn lengths_that_lie_are_seen_though_the_checksum_matches() {
        for length in [u64::MAX, 4, 2] {
            let mut bytes =
                Table { spec: TextSpec::default(), texts: 7, files: vec![("a".into(), length)] }.head().unwrap();
            bytes.extend_from_slice(b"aaa");
            seal(&mut bytes);
            assert!(reason(bytes).contains(if length == 2 { "longer" } else { "cut off" }));
        }
    }
}
