//! DoExchange: a stream of query vectors in, the rows nearest to each of them out, in order.
//!
//! The next vectors are read only when the answers to the last ones have been taken: a client that reads slowly is sent nothing it has no room for.

use std::sync::Arc;

use arrow::{
    array::{Array as _, ArrayRef, AsArray as _, RecordBatch},
    compute::cast,
    datatypes::{DataType, Field, Float32Type, Schema},
};
use arrow_flight::{
    FlightData, encode::FlightDataEncoderBuilder, error::FlightError, flight_descriptor::DescriptorType,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use skein_proto::{ExchangeCommand, body};
use skein_query::Searcher;
use tonic::{Code, Request, Status, Streaming};

use super::{Answers, Caller, incoming::Incoming};
use crate::{actions, server::State, status};

/// Query vectors that are searched for at a time: enough to keep all cores busy, few enough that the first answers come soon.
const AT_ONCE: usize = 256;
/// Pieces that are searched for at a time.
const AHEAD: usize = 2;

/// Answers a stream of query vectors.
pub(super) async fn answer(
    state: &Arc<State>,
    caller: Caller,
    request: Request<Streaming<FlightData>>,
) -> Result<Answers<FlightData>, Status> {
    let mut incoming = Incoming::open(request.into_inner(), state.max_message_bytes).await?;
    if incoming.descriptor.r#type() != DescriptorType::Cmd {
        return Err(wrong("DoExchange takes a command such as {\"search\": {\"dataset\": \"docs\", \"k\": 10}}"));
    }
    let (command, _) =
        body::decode::<ExchangeCommand>(&incoming.descriptor.cmd).map_err(|error| status::from_error(&error))?;
    let search = command.search.ok_or_else(|| wrong("the command has no 'search'; that is what DoExchange does"))?;
    if !search.vectors.is_empty() || !search.texts.is_empty() {
        return Err(wrong("the command has vectors; send them as batches, or use the action vector.search"));
    }
    let searcher = caller.session.searcher(actions::search_request(search)?).await;
    let searcher = Arc::new(searcher.map_err(|error| status::from_error(&error))?);
    let schema = incoming.schema().await?;
    let column = vector_column(&schema, searcher.dimension())?;
    let exchange = Arc::new(Exchange { searcher: Arc::clone(&searcher), column, session: caller });
    let batches = incoming.batches().map_ok(pieces).try_flatten();
    let numbered = stream::try_unfold((0_u32, Box::pin(batches)), |(first, mut batches)| async move {
        let Some(batch) = batches.try_next().await? else { return Ok(None) };
        let next = u32::try_from(batch.num_rows()).ok().and_then(|count| first.checked_add(count));
        let next = next.ok_or_else(|| wrong("more than 4,294,967,295 query vectors; begin a new stream"))?;
        Ok::<_, Status>(Some(((first, batch), (next, batches))))
    });
    // While some answers are on their way, the next ones are computed.
    let answers = numbered
        .map(move |piece| {
            let exchange = Arc::clone(&exchange);
            async move {
                let (first, batch) = piece?;
                exchange.rows(first, &batch).await
            }
        })
        .buffered(AHEAD);
    let done = Arc::clone(&searcher);
    let batches = stream::try_unfold((done, Box::pin(answers)), |(done, mut answers)| async move {
        match answers.try_next().await? {
            Some(rows) => Ok(Some((rows, (done, answers)))),
            None => {
                done.finish();
                Ok::<_, Status>(None)
            }
        }
    });
    let encoded = FlightDataEncoderBuilder::new()
        .with_schema(Arc::clone(searcher.schema()))
        .build(batches.map_err(|status| FlightError::Tonic(Box::new(status))));
    Ok(encoded.map_err(plain).boxed())
}

struct Exchange {
    searcher: Arc<Searcher>,
    column: usize,
    /// It stays open as long as its stream.
    session: Caller,
}

impl Exchange {
    /// The answers to the query vectors of a batch, of which the first has the number `first`.
    async fn rows(&self, first: u32, batch: &RecordBatch) -> Result<RecordBatch, Status> {
        let _in_use = &self.session;
        let queries = vectors(batch.column(self.column), self.searcher.dimension(), first)?;
        let answer = self.searcher.search(&queries, first).await.map_err(|error| status::from_error(&error))?;
        Ok(answer.rows)
    }
}

fn pieces(batch: RecordBatch) -> impl futures::Stream<Item = Result<RecordBatch, Status>> {
    let starts = (0..batch.num_rows()).step_by(AT_ONCE);
    let pieces: Vec<_> = starts.map(|at| batch.slice(at, AT_ONCE.min(batch.num_rows() - at))).collect();
    stream::iter(pieces.into_iter().map(Ok))
}

/// The first column that holds vectors.
fn vector_column(schema: &Schema, dimension: usize) -> Result<usize, Status> {
    let holds_vectors = |field: &Field| match field.data_type() {
        DataType::FixedSizeList(item, _) | DataType::List(item) | DataType::LargeList(item) => {
            item.data_type().is_floating()
        }
        _ => false,
    };
    schema.fields().iter().position(|field| holds_vectors(field)).ok_or_else(|| {
        wrong(&format!("no column of the batches holds vectors; send one of type FixedSizeList<float32>[{dimension}]"))
    })
}

/// The vectors of a column, end to end.
fn vectors(column: &ArrayRef, dimension: usize, first: u32) -> Result<Vec<f32>, Status> {
    let size = i32::try_from(dimension).map_err(|_| wrong("the dimension is out of bounds"))?;
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    if let Some(row) = (0..column.len()).find(|row| column.is_null(*row)) {
        return Err(wrong(&format!("query vector {} is null", u64::from(first) + row as u64)));
    }
    let cast = cast(column, &DataType::FixedSizeList(item, size)).map_err(|error| {
        wrong(&format!(
            "the query vectors are not of {dimension} numbers, which is the dimension of the column: {error}"
        ))
    })?;
    let list = cast.as_fixed_size_list();
    let start = usize::try_from(list.value_offset(0)).unwrap_or_default();
    let values = list.values().slice(start, list.len() * dimension);
    if values.null_count() + list.null_count() > 0 {
        return Err(wrong("a query vector has a null among its numbers, or another length than the column's"));
    }
    Ok(values.as_primitive::<Float32Type>().values().to_vec())
}

/// What ended the stream, as it was.
fn plain(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        other => status::internal(&other.to_string()),
    }
}

fn wrong(why: &str) -> Status {
    status::new(Code::InvalidArgument, why)
}
