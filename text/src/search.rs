//! Runs a query over a segment.

use roaring::RoaringBitmap;
use tantivy::{
    DocSet, Score, Searcher,
    query::{Bm25StatisticsProvider, EnableScoring, Query, Weight},
};

use crate::{Error, Hit, Result, Selection, best::Best};

/// Texts that one search may ask for, at most.
pub const MAX_K: usize = 10_000;

/// Where one text of so many is selected, going from one to the next is quicker than looking at all that match.
const SPARSE: u64 = 32;

/// Room for the best `k`.
pub(crate) fn best(k: usize) -> Result<Best> {
    if !(1..=MAX_K).contains(&k) {
        return Err(Error::Invalid(format!("{k} texts were asked for; 1 to {MAX_K} can be")));
    }
    Ok(Best::new(k))
}

/// Offers the texts that match, without those that cannot be among the best. The statistics are those of the same texts.
pub(crate) fn search(
    searcher: &Searcher,
    query: &dyn Query,
    statistics: &dyn Bm25StatisticsProvider,
    selection: Selection<'_>,
    best: &mut Best,
) -> Result<()> {
    run(|| {
        let weight = query.weight(EnableScoring::enabled_from_statistics_provider(statistics, searcher))?;
        if let Some(these) = sparse(searcher, selection) {
            return each_of(searcher, 0, &*weight, these, &mut |position, score| best.offer(Hit { position, score }));
        }
        for reader in searcher.segment_readers() {
            weight.for_each_pruning(best.bar(), reader, &mut |position, score| {
                if selection.contains(position) {
                    best.offer(Hit { position, score });
                }
                best.bar()
            })?;
        }
        Ok(())
    })
}

/// Offers all texts that match, at positions from `base` on, with statistics of other texts: the bounds that tantivy keeps of a segment's
/// scores, to leave texts out by, do not hold for these.
pub(crate) fn search_all(
    searcher: &Searcher,
    base: u32,
    query: &dyn Query,
    statistics: &dyn Bm25StatisticsProvider,
    selection: Selection<'_>,
    best: &mut Best,
) -> Result<()> {
    run(|| {
        let weight = query.weight(EnableScoring::enabled_from_statistics_provider(statistics, searcher))?;
        for reader in searcher.segment_readers() {
            weight.for_each(reader, &mut |text, score| {
                let position = base + text;
                if selection.contains(position) {
                    best.offer(Hit { position, score });
                }
            })?;
        }
        Ok(())
    })
}

/// How many texts match, at positions from `base` on.
pub(crate) fn count(searcher: &Searcher, base: u32, query: &dyn Query, selection: Selection<'_>) -> Result<u64> {
    run(|| {
        let weight = query.weight(EnableScoring::disabled_from_searcher(searcher))?;
        let mut count = 0_u64;
        if let Some(these) = sparse(searcher, selection) {
            each_of(searcher, base, &*weight, these, &mut |_, _| count += 1)?;
            return Ok(count);
        }
        for reader in searcher.segment_readers() {
            if matches!(selection, Selection::All) {
                count += u64::from(weight.count(reader)?);
                continue;
            }
            let mut selected = 0_usize;
            weight.for_each_no_score(reader, &mut |texts| {
                selected += texts.iter().filter(|text| selection.contains(base + **text)).count();
            })?;
            count += u64::try_from(selected).unwrap_or(u64::MAX);
        }
        Ok(count)
    })
}

/// The selected positions, if they are few.
fn sparse<'a>(searcher: &Searcher, selection: Selection<'a>) -> Option<&'a RoaringBitmap> {
    match selection {
        Selection::Only(these) if these.len().saturating_mul(SPARSE) < searcher.num_docs() => Some(these),
        _ => None,
    }
}

fn each_of(
    searcher: &Searcher,
    base: u32,
    weight: &dyn Weight,
    these: &RoaringBitmap,
    found: &mut dyn FnMut(u32, Score),
) -> tantivy::Result<()> {
    for reader in searcher.segment_readers() {
        let mut scorer = weight.scorer(reader, 1.0)?;
        for position in these.range(base..base.saturating_add(reader.max_doc())) {
            let text = position - base;
            if scorer.doc() < text {
                scorer.seek(text);
            }
            if scorer.doc() == text {
                found(position, scorer.score());
            }
        }
    }
    Ok(())
}

fn run<T>(search: impl FnOnce() -> tantivy::Result<T>) -> Result<T> {
    search().map_err(|error| Error::library("searching", error))
}
