//! What the caller learns, while an ingest runs and after it.

use serde::{Deserialize, Serialize, Serializer};
use skein_model::{TableName, Version};

/// How far an ingest is. Nothing of it is visible to readers yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Rows handed to the writer.
    pub rows: u64,
    /// Bytes received: of the file as sent, or of the batches in memory.
    pub bytes: u64,
}

/// The outcome of an ingest that was committed, or that turned out to be a repetition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IngestReport {
    /// The table, as `schema.table` in JSON.
    #[serde(serialize_with = "as_text")]
    pub dataset: TableName,
    /// The version that holds the rows.
    pub version: Version,
    /// Rows added by this ingest; 0 for a duplicate.
    pub rows: u64,
    /// Bytes received: of the file as sent, or of the batches in memory.
    pub bytes: u64,
    /// Data files added.
    pub files: usize,
    /// The same data was there already; nothing was added.
    pub duplicate: bool,
    /// Rows that could not be read and were left out.
    pub skipped_rows: u64,
    /// The first 1,000 of them.
    pub rejects: Vec<Reject>,
    /// The object in the dataset's bucket that lists all of them, as CSV.
    pub rejects_key: Option<String>,
}

/// Why a row could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// The line of the file on which the row starts, from 1.
    pub line: u64,
    /// The column or field path, when one is to blame.
    pub column: Option<String>,
    /// The value as it stands in the file, shortened to 200 characters.
    pub value: Option<String>,
    /// What is wrong with it.
    pub reason: String,
}

impl Reject {
    /// ` line 12, column 'x': cannot read 'NA': not a whole number`, without the leading space.
    pub(crate) fn describe(&self) -> String {
        let mut text = format!("line {}", self.line);
        if let Some(column) = &self.column {
            text.push_str(&format!(", column '{column}'"));
        }
        match &self.value {
            Some(value) => text.push_str(&format!(": cannot read '{value}': {}", self.reason)),
            None => text.push_str(&format!(": {}", self.reason)),
        }
        text
    }
}

/// Shortens text for messages; a value can be hundreds of megabytes.
pub(crate) fn shorten(text: &str) -> String {
    const MOST: usize = 200;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn as_text<S: Serializer>(name: &TableName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reject_reads_like_a_sentence() {
        let mut reject =
            Reject { line: 12, column: Some("x".into()), value: Some("NA".into()), reason: "not a number".into() };
        assert_eq!(reject.describe(), "line 12, column 'x': cannot read 'NA': not a number");
        reject.value = None;
        reject.column = None;
        reject.reason = "3 fields, expected 4".into();
        assert_eq!(reject.describe(), "line 12: 3 fields, expected 4");
    }

    #[test]
    fn long_values_are_shortened_on_a_character_boundary() {
        assert_eq!(shorten("ok"), "ok");
        assert_eq!(shorten(&"é".repeat(300)).chars().count(), 203);
    }
}
