//! Which datasets are worth a compaction.

use skein_catalog::{DataFile, Snapshot};

/// When a dataset is worth a compaction that nobody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactionPolicy {
    /// From so many files on that are smaller than half of what they could be.
    pub min_small_files: u64,
    /// From so many deleted rows on, of a hundred rows in its files.
    pub deleted_percent: u64,
}

impl CompactionPolicy {
    /// How much a snapshot asks for a compaction, to compare it with others; `None`: it is not worth one. `target` is the
    /// size of files, in bytes.
    pub fn pressure(&self, snapshot: &Snapshot, target: u64) -> Option<u64> {
        let small = snapshot.files.iter().filter(|file| is_small(file, target)).count() as u64;
        let rows = snapshot.files.iter().fold(0_u64, |rows, file| rows.saturating_add(file.rows));
        let deleted = rows.saturating_sub(snapshot.rows);
        // In thousandths of what makes it worth one.
        let by_files = small.saturating_mul(1000) / self.min_small_files.max(2);
        let by_rows = match self.deleted_percent.saturating_mul(rows) {
            0 => 0,
            enough => u64::try_from(u128::from(deleted) * 100_000 / u128::from(enough)).unwrap_or(u64::MAX),
        };
        Some(by_files.max(by_rows)).filter(|pressure| *pressure >= 1000)
    }
}

/// Whether a file is of less than half the size it could have.
pub(super) fn is_small(file: &DataFile, target: u64) -> bool {
    file.bytes < target / 2
}
