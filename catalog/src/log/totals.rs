//! What the files of a dataset amount to, counted with what a log says of itself in mind: it may say anything.

use std::sync::Arc;

use super::state::Misfit;
use crate::{DataFile, DeletesRecord, SnapshotInfo};

/// What files amount to. Whatever a log says, sums stay below 2^63, so that what a commit of a sensible size adds to them does not
/// overflow either, and all of SQL's integers hold them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

impl Totals {
    /// With these files, of which the deleted rows do not count.
    pub(super) fn with<'f>(self, files: impl IntoIterator<Item = &'f Arc<DataFile>>) -> Result<Self, Misfit> {
        files.into_iter().try_fold(self, |totals, file| totals.and(file, file.live_rows()))
    }

    /// With a file that has so many rows.
    pub(super) fn and(self, file: &DataFile, rows: u64) -> Result<Self, Misfit> {
        let sum = |one: u64, other: u64| one.checked_add(other).filter(|sum| i64::try_from(*sum).is_ok());
        match (sum(self.rows, rows), sum(self.bytes, file.bytes)) {
            (Some(rows), Some(bytes)) => Ok(Self { rows, bytes }),
            _ => Err(format!(
                "with the {rows} rows and {} bytes of file {} its files amount to more than can be counted",
                file.bytes, file.id
            )),
        }
    }
}

/// Rows of a file that are left with a new deletion vector.
pub(super) fn rows_left(file: &DataFile, deletes: &DeletesRecord) -> Result<u64, Misfit> {
    let before = file.deletes.as_ref().map_or(0, |deletes| deletes.rows);
    if deletes.rows <= before || deletes.rows > file.rows {
        return Err(format!(
            "it says that {} of the {} rows of file {} are deleted, where {before} were",
            deletes.rows, file.rows, file.id
        ));
    }
    Ok(file.rows - deletes.rows)
}

/// Whether a version says of itself what its files amount to.
pub(super) fn check_totals(info: &SnapshotInfo, files: u64, rows: u64, bytes: u64) -> Result<(), Misfit> {
    if (info.files, info.rows, info.bytes) == (files, rows, bytes) {
        return Ok(());
    }
    Err(format!(
        "it says {} files, {} rows and {} bytes, and its files amount to {files}, {rows} and {bytes}",
        info.files, info.rows, info.bytes
    ))
}

#[cfg(test)]
mod tests {
    use skein_model::{FileId, Version};

    use super::{
        super::{
            Delta, State,
            delta::tests::{append, create},
        },
        *,
    };

    /// An append of files with so many rows and bytes each, and the sums that a careless reader makes of them.
    fn boundless(version: Version, sizes: &[(u64, u64)]) -> Delta {
        let mut delta = append();
        delta.info.version = version;
        let one = |(rows, bytes): &(u64, u64)| {
            let file =
                DataFile { id: FileId::generate(), rows: *rows, bytes: *bytes, ..delta.added[0].as_ref().clone() };
            Arc::new(DataFile { deletes: None, ..file })
        };
        delta.added = sizes.iter().map(one).collect();
        delta.info.files = sizes.len() as u64;
        delta.info.rows = sizes.iter().fold(0, |sum, (rows, _)| sum.wrapping_add(*rows));
        delta.info.bytes = sizes.iter().fold(0, |sum, (_, bytes)| sum.wrapping_add(*bytes));
        delta
    }

    #[test]
    fn sums_that_overflow_do_not_fit() {
        let most = i64::MAX.unsigned_abs();
        for sizes in [
            vec![(u64::MAX, 1), (11, 1)],
            vec![(1, u64::MAX), (1, 2)],
            vec![(most, 1), (most, 1), (2, 1)],
            vec![(most + 1, 1)],
            vec![(1, most), (1, 1)],
        ] {
            let mut state = State::start(create()).unwrap();
            let misfit = state.apply(boundless(2, &sizes)).unwrap_err();
            assert!(misfit.contains("more than can be counted"), "{misfit}");
            assert_eq!((state.snapshot().version, state.snapshot().rows), (1, 0));
            let mut checkpoint = state.checkpoint();
            let Delta { info, added, .. } = boundless(2, &sizes);
            (checkpoint.version, checkpoint.files) = (2, added);
            checkpoint.history.push(Arc::new(info));
            assert!(State::restore(checkpoint).unwrap_err().contains("more than can be counted"));
        }
        // Step by step: what is there counts, too, also when files leave at the same time.
        let mut state = State::start(create()).unwrap();
        state.apply(boundless(2, &[(most - 1, 1), (1, most - 1)])).unwrap();
        assert!(state.apply(boundless(3, &[(1, 0)])).unwrap_err().contains("more than can be counted"));
        assert!(state.apply(boundless(3, &[(0, 1)])).unwrap_err().contains("more than can be counted"));
        let removed = vec![state.snapshot().files[1].id];
        let swapped = Delta { removed, ..boundless(3, &[(2, 1)]) };
        assert!(state.apply(swapped).unwrap_err().contains("more than can be counted"));
        assert_eq!(state.snapshot().rows, most);
    }
}
