//! The session option `row_limit`: a result of more rows ends in an error, so that a statement without LIMIT does not fill a program's memory.

use futures::{StreamExt, stream};
use skein_model::ErrorKind;

use crate::{Answer, BatchStream, Error, Result};

/// The same answer, which ends in an error before its rows are more than the limit.
pub(crate) fn limited(answer: Answer, limit: Option<usize>) -> Answer {
    let Some(limit) = limit else { return answer };
    let Answer { schema, stream, query_id } = answer;
    Answer { schema, stream: stop_beyond(stream, limit), query_id }
}

fn stop_beyond(batches: BatchStream, limit: usize) -> BatchStream {
    let counted = stream::try_unfold((batches, 0_usize), move |(mut batches, rows)| async move {
        let Some(batch) = batches.next().await.transpose()? else { return Ok(None) };
        let rows = rows.saturating_add(batch.num_rows());
        check(rows, limit)?;
        Ok(Some((batch, (batches, rows))))
    });
    counted.boxed()
}

fn check(rows: usize, limit: usize) -> Result<()> {
    match rows > limit {
        true => Err(Error::server(
            ErrorKind::ResourceExhausted,
            format!(
                "the result has more than {limit} rows, the session's row_limit; ask for less with LIMIT, or SET row_limit higher"
            ),
        )),
        false => Ok(()),
    }
}
