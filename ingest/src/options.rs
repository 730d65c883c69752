//! What a caller can choose about a file. It arrives as JSON, so unknown keys are errors.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use skein_catalog::writer::WriterOptions;

/// How to read one file. The default works everything out from the bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileOptions {
    /// The file's name, for messages; its ending is never believed over its bytes.
    pub file_name: String,
    /// The format; from the content when `None`.
    pub format: Option<FileFormat>,
    /// The compression; from the content when `None`.
    pub compression: Option<FileCompression>,
    /// How CSV is read.
    pub csv: CsvOptions,
    /// How JSON is read.
    pub json: JsonOptions,
    /// Types for some columns of CSV and JSON: name and type, such as `("zip", "text")` or `("price", "decimal(10,2)")`.
    pub schema_overrides: Vec<(String, String)>,
    /// Rows that are looked at to find the columns' types.
    pub sample_rows: usize,
    /// What happens to a row that cannot be read.
    pub on_bad_row: OnBadRow,
    /// Store the file even if the same bytes were stored before.
    pub force: bool,
    /// How data files are laid out: the server's choice, never the client's.
    #[serde(skip)]
    pub writer: WriterOptions,
    /// Bounds of memory and parallelism: the server's choice, never the client's.
    #[serde(skip)]
    pub limits: IngestLimits,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            file_name: "input".to_owned(),
            format: None,
            compression: None,
            csv: CsvOptions::default(),
            json: JsonOptions::default(),
            schema_overrides: Vec::new(),
            sample_rows: 10_000,
            on_bad_row: OnBadRow::default(),
            force: false,
            writer: WriterOptions::default(),
            limits: IngestLimits::default(),
        }
    }
}

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    /// Delimited text.
    Csv,
    /// Delimited text with tabs.
    Tsv,
    /// JSON: an array of objects, or objects one after the other, on lines of their own or not.
    #[serde(alias = "ndjson", alias = "jsonl")]
    Json,
    /// Arrow IPC, as a file or as a stream.
    #[serde(alias = "feather", alias = "ipc")]
    Arrow,
    /// Parquet.
    Parquet,
}

/// A compression of the whole file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileCompression {
    /// The bytes are the file.
    None,
    /// gzip, with any number of members.
    Gzip,
    /// Zstandard.
    Zstd,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
}

/// What happens to a row that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBadRow {
    /// The ingest fails and says where and why.
    #[default]
    Fail,
    /// The row is left out, counted, and listed in the rejects file.
    Skip,
}

/// How CSV is read. What is `None` is worked out from a sample.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CsvOptions {
    /// The character between fields.
    pub delimiter: Option<char>,
    /// The character around fields that hold delimiters or newlines.
    pub quote: Option<char>,
    /// The character before a quote inside a quoted field; by default quotes are doubled.
    pub escape: Option<char>,
    /// Whether the first row holds the columns' names.
    pub has_header: Option<bool>,
    /// The columns' names, in place of a header's, or where there is none.
    pub column_names: Vec<String>,
    /// Values that mean null, besides the empty one.
    pub null_values: Vec<String>,
    /// The character encoding, by its WHATWG name such as `windows-1252`.
    pub encoding: Option<String>,
}

/// How JSON is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JsonOptions {
    /// Make a column of every field of a nested object, instead of a struct column.
    pub flatten: bool,
    /// What stands between the parts of such a column's name.
    pub separator: String,
}

impl Default for JsonOptions {
    fn default() -> Self {
        Self { flatten: false, separator: ".".to_owned() }
    }
}

/// Bounds of memory and parallelism.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestLimits {
    /// Text is decoded in chunks of about this many bytes.
    pub chunk_bytes: usize,
    /// Bytes of text that are looked at, at most, to find dialect and types.
    pub sample_bytes: usize,
    /// The longest record or Arrow message, in bytes.
    pub max_record_bytes: usize,
    /// Chunks that are decoded at the same time.
    pub parallelism: usize,
    /// Most columns a table may have.
    pub max_columns: usize,
    /// Where formats that need random access are put while they are read; the system's place when `None`.
    pub temp_dir: Option<PathBuf>,
}

impl Default for IngestLimits {
    fn default() -> Self {
        Self {
            chunk_bytes: 4 << 20,
            sample_bytes: 8 << 20,
            max_record_bytes: 1 << 30,
            parallelism: std::thread::available_parallelism().map_or(2, usize::from).clamp(1, 16),
            max_columns: skein_model::Limits::default().max_columns,
            temp_dir: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_json_and_unknown_keys_are_errors() {
        let json = r#"{"file_name": "a.csv", "format": "ndjson", "csv": {"delimiter": ";", "null_values": ["NA"]},
                       "schema_overrides": [["zip", "text"]], "on_bad_row": "skip"}"#;
        let options: FileOptions = serde_json::from_str(json).unwrap();
        assert_eq!(options.format, Some(FileFormat::Json));
        assert_eq!(options.csv.delimiter, Some(';'));
        assert_eq!(options.on_bad_row, OnBadRow::Skip);
        assert_eq!(options.sample_rows, 10_000);
        let again: FileOptions = serde_json::from_str(&serde_json::to_string(&options).unwrap()).unwrap();
        assert_eq!(again, options);
        let error = serde_json::from_str::<FileOptions>(r#"{"delimeter": ";"}"#).unwrap_err().to_string();
        assert!(error.contains("delimeter"), "{error}");
        assert!(serde_json::from_str::<FileOptions>(r#"{"writer": {}}"#).is_err(), "a client cannot size the server");
    }
}
