//! The threads that batches of queries are cut over.

use std::sync::OnceLock;

use rayon::prelude::*;

use crate::{Error, Neighbours, Result};

/// Queries that one thread answers at least: fewer are not worth waking another for.
const PER_THREAD: usize = 4;

/// One per processor, for all indexes of the process: searches that come from many threads at a time share them instead of starting their own.
fn pool() -> Result<&'static rayon::ThreadPool> {
    static POOL: OnceLock<Result<rayon::ThreadPool, String>> = OnceLock::new();
    let pool = POOL.get_or_init(|| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|thread| format!("skein-search-{thread}"))
            .build()
            .map_err(|error| error.to_string())
    });
    pool.as_ref().map_err(|error| Error::Internal(format!("the threads that search could not be started: {error}")))
}

/// Answers queries, cut into pieces for several threads where there are enough; one that comes alone is answered by the calling thread.
pub(crate) fn answer(
    queries: &[f32],
    dimension: usize,
    answer: impl Fn(&[f32]) -> Result<Neighbours> + Sync,
) -> Result<Neighbours> {
    let count = queries.len() / dimension;
    if count <= PER_THREAD {
        return answer(queries);
    }
    let pool = pool()?;
    // Several pieces per thread, so that one with hard queries does not keep all waiting.
    let piece = count.div_ceil(4 * pool.current_num_threads()).max(PER_THREAD);
    let pieces: Vec<Neighbours> =
        pool.install(|| queries.par_chunks(piece * dimension).map(&answer).collect::<Result<_>>())?;
    let mut all = Neighbours::new();
    for piece in pieces {
        let before = all.positions.len();
        all.offsets.extend(piece.offsets.iter().skip(1).map(|offset| offset + before));
        all.positions.extend(piece.positions);
        all.distances.extend(piece.distances);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_together_in_order() {
        let queries: Vec<f32> = (0_u16..1_000).map(f32::from).collect();
        let found = answer(&queries, 1, |piece| {
            let mut found = Neighbours::new();
            for query in piece {
                found.push((0..2).map(|position| (position, *query)));
            }
            Ok(found)
        })
        .unwrap();
        assert_eq!(found.queries(), 1_000);
        for (query, expected) in queries.iter().enumerate() {
            assert_eq!(found.of(query).collect::<Vec<_>>(), [(0, *expected), (1, *expected)]);
        }
    }

    #[test]
    fn a_piece_that_fails_fails_the_whole() {
        let queries = vec![0.0; 100];
        let failed = answer(&queries, 1, |_| Err(Error::Stopped)).unwrap_err();
        assert!(matches!(failed, Error::Stopped));
    }
}
