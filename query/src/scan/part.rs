//! A part of a snapshot's rows: a stretch of its files, laid end to end in the snapshot's order.
//!
//! The Parquet reader gives a row group to the stretch that its first page lies in. Stretches that meet therefore read every row once,
//! wherever they were cut, and whoever cut them.

use std::{ops::Range, sync::Arc};

use datafusion::{common::stats::Precision, datasource::listing::PartitionedFile};

/// What cutting needs to know of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub bytes: u64,
    pub row_groups: u64,
}

/// The files, and parts of files, in a stretch.
pub(super) fn slice(files: &[PartitionedFile], stretch: &Range<u64>) -> Vec<PartitionedFile> {
    let mut begin = 0_u64;
    let mut some = Vec::new();
    for file in files {
        let bytes = file.object_meta.size;
        let from = stretch.start.saturating_sub(begin).min(bytes);
        let to = stretch.end.saturating_sub(begin).min(bytes);
        if from == 0 && to == bytes {
            some.push(file.clone());
        } else if from < to {
            let place = |at: u64| i64::try_from(at).unwrap_or(i64::MAX);
            some.push(file.clone().with_range(place(from), place(to)));
        }
        begin = begin.saturating_add(bytes);
    }
    some
}

/// The files of a slice with about as many rows as they have in it, supposing that the rows of a file are of one size. To be shown, and not to
/// prune by: how many of them are null is still known of whole files only.
pub(super) fn in_proportion(some: &[PartitionedFile]) -> Vec<PartitionedFile> {
    some.iter().cloned().map(shared).collect()
}

fn shared(file: PartitionedFile) -> PartitionedFile {
    let (Some(range), Some(whole)) = (&file.range, &file.statistics) else { return file };
    let bytes = u64::try_from(range.end.saturating_sub(range.start)).unwrap_or(0);
    let mut statistics = whole.as_ref().clone().to_inexact();
    if let Precision::Inexact(rows) = &mut statistics.num_rows {
        let share = scaled(u64::try_from(*rows).unwrap_or(u64::MAX), bytes, file.object_meta.size);
        *rows = usize::try_from(share).unwrap_or(usize::MAX);
    }
    file.with_statistics(Arc::new(statistics))
}

/// At most `count` stretches of about as many bytes each, cut between row groups as far as that can be told without reading the footers.
/// Together they are everything.
pub(super) fn cut(files: &[Extent], count: usize) -> Vec<Range<u64>> {
    let total: u64 = files.iter().map(|file| file.bytes).sum();
    let places = places(files);
    let count = count.clamp(1, places.len() + 1);
    let mut cuts = vec![0];
    for n in 1..count {
        let wanted = fraction(total, n, count);
        let near = nearest(&places, wanted);
        if cuts.last().is_some_and(|last| near > *last) && near < total {
            cuts.push(near);
        }
    }
    cuts.push(total);
    cuts.windows(2).map(|ends| ends[0]..ends[1]).collect()
}

/// Where one row group has begun and the next has not, supposing that those of a file are of one size.
fn places(files: &[Extent]) -> Vec<u64> {
    let mut places = Vec::new();
    let mut begin = 0_u64;
    for file in files {
        if begin > 0 {
            places.push(begin);
        }
        let halves = file.row_groups.max(1).saturating_mul(2);
        let within = (1..file.row_groups).map(|group| begin + scaled(file.bytes, 2 * group - 1, halves));
        // The first bytes of a file are before its first row group.
        places.extend(within.filter(|place| *place > begin));
        begin = begin.saturating_add(file.bytes);
    }
    places
}

fn fraction(total: u64, n: usize, of: usize) -> u64 {
    scaled(total, u64::try_from(n).unwrap_or(u64::MAX), u64::try_from(of).unwrap_or(u64::MAX))
}

fn scaled(total: u64, n: u64, of: u64) -> u64 {
    let scaled = u128::from(total) * u128::from(n) / u128::from(of.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

fn nearest(places: &[u64], wanted: u64) -> u64 {
    places.iter().copied().min_by_key(|place| place.abs_diff(wanted)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;
    use datafusion::common::Statistics;

    use super::*;

    fn file(bytes: u64) -> PartitionedFile {
        PartitionedFile::new(format!("{bytes}"), bytes)
    }

    /// Where each file of a slice is read: its size, and the range.
    fn read(files: &[PartitionedFile], stretch: Range<u64>) -> Vec<(u64, i64, i64)> {
        let files = slice(files, &stretch);
        let range = |file: &PartitionedFile| file.range.as_ref().map_or((0, -1), |range| (range.start, range.end));
        files.iter().map(|file| (file.object_meta.size, range(file).0, range(file).1)).collect()
    }

    #[test]
    fn a_stretch_is_whole_files_and_their_ends() {
        let files = [file(100), file(50), file(70)];
        assert_eq!(read(&files, 0..220), [(100, 0, -1), (50, 0, -1), (70, 0, -1)]);
        assert_eq!(read(&files, 40..160), [(100, 40, 100), (50, 0, -1), (70, 0, 10)]);
        assert_eq!(read(&files, 100..150), [(50, 0, -1)]);
        assert_eq!(read(&files, 150..150), []);
        assert_eq!(read(&files, 500..600), []);
    }

    #[test]
    fn a_part_of_a_file_has_its_share_of_the_rows() {
        let mut statistics = Statistics::new_unknown(&Schema::empty());
        statistics.num_rows = Precision::Exact(1000);
        let files = [file(100).with_statistics(Arc::new(statistics)), file(50)];
        let rows = |stretch: Range<u64>| {
            let files = in_proportion(&slice(&files, &stretch));
            files.iter().map(|file| file.statistics.as_ref().map(|known| known.num_rows)).collect::<Vec<_>>()
        };
        assert_eq!(rows(0..100), [Some(Precision::Exact(1000))]);
        assert_eq!(rows(25..120), [Some(Precision::Inexact(750)), None]);
    }

    #[test]
    fn cuts_meet_and_fall_between_row_groups() {
        let extent = |bytes, row_groups| Extent { bytes, row_groups };
        let files = [extent(100, 4), extent(100, 1), extent(200, 2)];
        for count in 1..20 {
            let parts = cut(&files, count);
            assert!(parts.len() <= count && parts.len() <= 7);
            assert_eq!((parts[0].start, parts[parts.len() - 1].end), (0, 400));
            assert!(parts.windows(2).all(|two| two[0].end == two[1].start && two[0].start < two[0].end));
        }
        assert_eq!(cut(&files, 2), [0..200, 200..400]);
        // One row group cannot be cut, and nothing at all neither.
        assert_eq!(cut(&[extent(100, 1)], 8).first(), Some(&(0..100)));
        assert_eq!(cut(&[], 8).first(), Some(&(0..0)));
    }
}
