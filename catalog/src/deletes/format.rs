//! The persisted form of a deletion vector.
//!
//! All numbers are little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `SKEINDEL` |
//! | 4 | format, 1 |
//! | 16 | the ULID of the data file, as a number |
//! | 8 | rows in the data file |
//! | 8 | rows in the vector |
//! | n | the rows, as the portable form of a 32-bit Roaring bitmap |
//! | 32 | SHA-256 of everything before |

use bytes::{Buf, BufMut, Bytes};
use roaring::RoaringBitmap;
use sha2::{Digest, Sha256};
use skein_model::FileId;

use super::RowSet;

const MAGIC: &[u8; 8] = b"SKEINDEL";
const FORMAT: u32 = 1;
const HEADER: usize = 8 + 4 + 16 + 8 + 8;
const CHECKSUM: usize = 32;

/// The deleted rows of one data file.
#[derive(Debug, Clone, PartialEq)]
pub struct DeletionVector {
    /// The data file.
    pub file: FileId,
    /// Rows in the data file.
    pub file_rows: u64,
    /// The deleted ones.
    pub rows: RowSet,
}

/// Why bytes are no deletion vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It was written by a later version of Skein.
    Newer(u32),
    Damaged(&'static str),
}

impl DeletionVector {
    /// Its persisted form.
    pub fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(HEADER + self.rows.0.serialized_size() + CHECKSUM);
        bytes.put_slice(MAGIC);
        bytes.put_u32_le(FORMAT);
        bytes.put_u128_le(self.file.ulid().0);
        bytes.put_u64_le(self.file_rows);
        bytes.put_u64_le(self.rows.len());
        // Writing to a vector of bytes cannot fail.
        let _ = self.rows.0.serialize_into(&mut bytes);
        let checksum = Sha256::digest(&bytes);
        bytes.put_slice(&checksum);
        bytes.into()
    }

    /// Reads the persisted form, believing nothing of it.
    pub(super) fn decode(file: FileId, bytes: &[u8]) -> Result<Self, Unreadable> {
        let damaged = |what| Err(Unreadable::Damaged(what));
        if bytes.len() < HEADER + CHECKSUM || !bytes.starts_with(MAGIC) {
            return damaged("it is no deletion vector");
        }
        let (content, checksum) = bytes.split_at(bytes.len() - CHECKSUM);
        let mut header = &content[MAGIC.len()..HEADER];
        let format = header.get_u32_le();
        if format > FORMAT {
            return Err(Unreadable::Newer(format));
        }
        if Sha256::digest(content).as_slice() != checksum {
            return damaged("its checksum is wrong");
        }
        if header.get_u128_le() != file.ulid().0 {
            return damaged("it belongs to another file");
        }
        let (file_rows, count) = (header.get_u64_le(), header.get_u64_le());
        let mut rest = &content[HEADER..];
        let Ok(rows) = RoaringBitmap::deserialize_from(&mut rest) else { return damaged("its rows make no sense") };
        if !rest.is_empty() || rows.len() != count {
            return damaged("its length or count is wrong");
        }
        if rows.max().is_some_and(|last| u64::from(last) >= file_rows) {
            return damaged("it has more rows than its file");
        }
        Ok(Self { file, file_rows, rows: RowSet(rows) })
    }
}

/// Reads bytes for the fuzz targets: as they are, and with the checksum that would be right.
pub(crate) fn fuzz(bytes: &[u8]) {
    let id = bytes.get(12..28).and_then(|id| id.try_into().ok()).map(|id| ulid::Ulid(u128::from_le_bytes(id)));
    let Some(file) = id.and_then(|id| id.to_string().parse().ok()) else { return };
    let _damaged = DeletionVector::decode(file, bytes);
    let content = &bytes[..bytes.len().saturating_sub(CHECKSUM)];
    let checked = [content, Sha256::digest(content).as_slice()].concat();
    if let Ok(vector) = DeletionVector::decode(file, &checked) {
        assert_eq!(
            DeletionVector::decode(file, &vector.encode()).as_ref(),
            Ok(&vector),
            "what was read can be written"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use proptest::prelude::*;

    use super::*;

    fn vector(rows: impl IntoIterator<Item = u32>) -> DeletionVector {
        let file = "01JC0000000000000000000001".parse().unwrap();
        DeletionVector { file, file_rows: 1 << 20, rows: rows.into_iter().collect() }
    }

    fn read(bytes: &[u8]) -> Result<DeletionVector, Unreadable> {
        DeletionVector::decode(vector([]).file, bytes)
    }

    #[test]
    fn the_format_is_the_one_on_file() {
        let written = vector((0..5000).step_by(3).chain(100_000..200_000));
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/deletes.bin");
        if std::env::var_os("SKEIN_BLESS").is_some() {
            fs::write(&path, written.encode()).unwrap();
        }
        assert_eq!(read(&fs::read(path).unwrap()).unwrap(), written);
    }

    #[test]
    fn damage_is_found_and_a_newer_format_refused() {
        let good = vector([1, 2, 3, 70_000]).encode();
        assert_eq!(read(&good).unwrap().rows.len(), 4);
        for at in 0..good.len() {
            let mut bad = good.to_vec();
            bad[at] ^= 1;
            assert!(read(&bad).is_err(), "byte {at}");
            assert!(read(&good[..at]).is_err(), "cut at {at}");
        }
        let mut newer = good.to_vec();
        newer[8] = 2;
        assert_eq!(read(&newer), Err(Unreadable::Newer(2)));
        assert!(DeletionVector::decode(FileId::generate(), &good).is_err());
        let beyond = DeletionVector { file_rows: 70_000, ..vector([70_000]) };
        assert_eq!(read(&beyond.encode()), Err(Unreadable::Damaged("it has more rows than its file")));
    }

    proptest! {
        #[test]
        fn every_set_survives(rows in proptest::collection::vec(0_u32..1 << 20, 0..300)) {
            let written = vector(rows);
            prop_assert_eq!(read(&written.encode()).unwrap(), written);
        }

        #[test]
        fn nonsense_with_a_right_checksum_is_refused_or_read(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = vector([]).encode()[..HEADER].to_vec();
            bytes.extend(body);
            let checksum = Sha256::digest(&bytes);
            bytes.extend(checksum);
            if let Ok(found) = read(&bytes) {
                prop_assert!(found.rows.is_empty());
            }
        }
    }
}
