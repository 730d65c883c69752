//! How data files are laid out.

use std::{fmt, str::FromStr};

use parquet::basic::ZstdLevel;
use serde::{Deserialize, Serialize};

/// How pages of a data file are compressed. In configuration it is text: `none`, `snappy`, `lz4`, `zstd` or `zstd(3)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Compression {
    /// Pages as they are.
    None,
    /// Snappy: what pyarrow writes when nothing else is asked for.
    Snappy,
    /// LZ4 without a frame (`LZ4_RAW`): the fastest to read.
    Lz4,
    /// Zstandard at a level from 1 to 22.
    Zstd(i32),
}

impl Compression {
    pub(super) fn to_parquet(self) -> parquet::basic::Compression {
        match self {
            Self::None => parquet::basic::Compression::UNCOMPRESSED,
            Self::Snappy => parquet::basic::Compression::SNAPPY,
            Self::Lz4 => parquet::basic::Compression::LZ4_RAW,
            Self::Zstd(level) => parquet::basic::Compression::ZSTD(ZstdLevel::try_new(level).unwrap_or_default()),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Snappy => f.write_str("snappy"),
            Self::Lz4 => f.write_str("lz4"),
            Self::Zstd(level) => write!(f, "zstd({level})"),
        }
    }
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || format!("compression '{text}' is unknown; use none, snappy, lz4, zstd or zstd(1) to zstd(22)");
        match text.trim().to_ascii_lowercase().as_str() {
            "none" | "uncompressed" => Ok(Self::None),
            "snappy" => Ok(Self::Snappy),
            "lz4" | "lz4_raw" => Ok(Self::Lz4),
            "zstd" => Ok(Self::Zstd(1)),
            other => {
                let level = other.strip_prefix("zstd(").and_then(|rest| rest.strip_suffix(')')).ok_or_else(bad)?;
                let level = level.parse().map_err(|_| bad())?;
                ZstdLevel::try_new(level).map_err(|_| bad())?;
                Ok(Self::Zstd(level))
            }
        }
    }
}

impl TryFrom<String> for Compression {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Compression> for String {
    fn from(compression: Compression) -> Self {
        compression.to_string()
    }
}

/// How a [`DatasetWriter`](super::DatasetWriter) lays out files and how much memory it may use.
/// The reasons for the defaults are in `docs/decisions/0010-parquet-layout.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WriterOptions {
    /// A file is closed once it holds this many bytes (compressed).
    pub target_file_bytes: u64,
    /// Most rows in a row group; memory can make it smaller.
    pub row_group_rows: usize,
    /// How pages are compressed.
    pub compression: Compression,
    /// About how many bytes one writer may hold in memory: batches not yet encoded, encoded row groups, parts under way.
    pub memory_bytes: usize,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            target_file_bytes: 256 << 20,
            row_group_rows: 1 << 20,
            compression: Compression::Zstd(1),
            memory_bytes: 256 << 20,
        }
    }
}

/// The smallest memory a writer works with: below it, parts could not have the 5 MiB that S3 asks for.
const MIN_MEMORY_BYTES: usize = 24 << 20;
/// Every store takes parts of this size, and 10,000 of them make 80 GB.
const PART_BYTES: usize = 8 << 20;
const MIN_PART_BYTES: usize = 5 << 20;

impl WriterOptions {
    fn memory(&self) -> usize {
        self.memory_bytes.max(MIN_MEMORY_BYTES)
    }

    /// Bytes of batches that may wait to be encoded.
    pub(super) fn raw_budget(&self) -> usize {
        self.memory() / 4
    }

    /// Bytes of batches handed to the encoders at once.
    pub(super) fn slab_bytes(&self) -> usize {
        (self.raw_budget() / 4).clamp(1 << 20, 8 << 20)
    }

    /// Encoded bytes at which a row group is closed although it has few rows. Two of them can be in memory at a time:
    /// one that fills and one that is on its way to the bucket.
    pub(super) fn row_group_bytes(&self) -> usize {
        self.memory() / 4
    }

    /// Size of an upload's parts.
    pub(super) fn part_bytes(&self) -> usize {
        (self.memory() / 32).clamp(MIN_PART_BYTES, PART_BYTES)
    }

    /// Parts that may be under way at a time.
    pub(super) fn parts_in_flight(&self) -> usize {
        (self.memory() / 8 / self.part_bytes()).clamp(1, 8)
    }

    /// Rows in a row group, at least one.
    pub(super) fn group_rows(&self) -> usize {
        self.row_group_rows.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_is_text_in_configuration() {
        for (text, value) in
            [("zstd", Compression::Zstd(1)), ("ZSTD(3)", Compression::Zstd(3)), ("lz4", Compression::Lz4)]
        {
            assert_eq!(text.parse::<Compression>().unwrap(), value);
        }
        let options: WriterOptions = serde_json::from_str(r#"{"compression": "snappy"}"#).unwrap();
        assert_eq!(options.compression, Compression::Snappy);
        assert_eq!(options.row_group_rows, WriterOptions::default().row_group_rows);
        assert!("gzip(99)".parse::<Compression>().unwrap_err().contains("zstd(22)"));
        assert!("zstd(99)".parse::<Compression>().is_err());
        assert!(serde_json::from_str::<WriterOptions>(r#"{"row_groups": 1}"#).is_err());
    }

    #[test]
    fn the_shares_of_memory_fit_into_it() {
        for memory_bytes in [0, 24 << 20, 64 << 20, 256 << 20, 1 << 30] {
            let options = WriterOptions { memory_bytes, ..WriterOptions::default() };
            let used =
                options.raw_budget() + 2 * options.row_group_bytes() + options.part_bytes() * options.parts_in_flight();
            assert!(used <= options.memory() + options.part_bytes(), "{memory_bytes}: {used}");
        }
    }
}
