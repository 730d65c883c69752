//! `vector.search`: the rows whose vectors are nearest to given ones.

use arrow::{array::RecordBatch, json::ArrayWriter};
use arrow_ipc::writer::StreamWriter;
use bytes::Bytes;
use futures::{StreamExt as _, future, stream};
use skein_model::TableName;
use skein_proto::{
    VectorSearchRequest, VectorSearchResponse,
    body::{self, BodyEncoding},
};
use skein_query::{Metric, SearchOptions, SearchRequest};
use tonic::{Code, Status};

use super::Bodies;
use crate::{rpc::Caller, status};

/// Rows of each query vector when the request does not say.
const DEFAULT_K: u32 = 10;

pub(super) async fn run(caller: &Caller, body: &[u8]) -> Result<Bodies, Status> {
    let (mut asked, encoding) =
        body::decode::<VectorSearchRequest>(body).map_err(|error| status::from_error(&error))?;
    let (vectors, texts) = (std::mem::take(&mut asked.vectors), std::mem::take(&mut asked.texts));
    let searcher = caller.session.searcher(request(asked)?).await.map_err(|error| status::from_error(&error))?;
    let dimension = searcher.dimension();
    if vectors.is_empty() == texts.is_empty() {
        return Err(wrong("there is nothing to look for; send 'vectors' or 'texts', one or more".to_owned()));
    }
    for (query, vector) in vectors.iter().enumerate() {
        if vector.values.len() != dimension {
            let found = vector.values.len();
            return Err(wrong(format!(
                "query vector {query} has {found} numbers; the column's vectors have {dimension}"
            )));
        }
    }
    let queries: Vec<f32> = match texts.is_empty() {
        true => vectors.into_iter().flat_map(|vector| vector.values).collect(),
        false => {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            searcher.embed(&texts).await.map_err(|error| status::from_error(&error))?
        }
    };
    let answer = searcher.search(&queries, 0).await.map_err(|error| status::from_error(&error))?;
    searcher.finish();
    let mut response = VectorSearchResponse {
        search_us: u64::try_from(answer.took.as_micros()).unwrap_or(u64::MAX),
        index: searcher.index().unwrap_or_default(),
        strategy: searcher.strategy().to_owned(),
        ..VectorSearchResponse::default()
    };
    match encoding {
        BodyEncoding::Json => response.rows = json(&answer.rows)?,
        BodyEncoding::Protobuf => response.arrow = ipc(&answer.rows)?,
    }
    let body = body::encode(&response, encoding).map_err(|error| status::from_error(&error))?;
    Ok(stream::once(future::ready(Ok(body))).boxed())
}

/// The search that a message asks for, without its vectors.
///
/// # Errors
/// INVALID_ARGUMENT for names and values that cannot be.
pub(crate) fn request(asked: VectorSearchRequest) -> Result<SearchRequest, Status> {
    let metric = match asked.metric.as_str() {
        "" => None,
        name => Some(name.parse::<Metric>().map_err(|error| status::from_error(&error))?),
    };
    let k = if asked.k == 0 { DEFAULT_K } else { asked.k };
    let mut options = SearchOptions::default();
    options.ef = asked.ef.unwrap_or_default();
    options.nprobe = asked.nprobe.unwrap_or_default();
    options.refine = asked.refine.unwrap_or_default();
    options.exact = asked.exact;
    options.index = asked.index;
    if !asked.consistency.is_empty() {
        options.consistency = asked.consistency;
    }
    Ok(SearchRequest {
        table: table(asked.schema, asked.dataset)?,
        column: Some(asked.column).filter(|column| !column.is_empty()),
        k: usize::try_from(k).unwrap_or(usize::MAX),
        max_distance: asked.max_distance,
        filter: Some(asked.filter).filter(|filter| !filter.trim().is_empty()),
        columns: Some(asked.columns).filter(|columns| !columns.is_empty()),
        row_ids: asked.row_ids,
        metric,
        options,
    })
}

fn table(schema: String, dataset: String) -> Result<TableName, Status> {
    if dataset.is_empty() {
        return Err(wrong("'dataset' is empty; name the dataset to search".to_owned()));
    }
    super::table(schema, dataset)
}

fn json(rows: &RecordBatch) -> Result<String, Status> {
    let mut writer = ArrayWriter::new(Vec::new());
    let written = writer.write(rows).and_then(|()| writer.finish());
    written.map_err(|error| {
        let advice = "leave columns of such types out, or send the request as protobuf";
        status::new(Code::InvalidArgument, format!("the rows cannot be written as JSON: {error}; {advice}"))
    })?;
    String::from_utf8(writer.into_inner()).map_err(|error| status::internal(&error.to_string()))
}

fn ipc(rows: &RecordBatch) -> Result<Bytes, Status> {
    let failed = |error: arrow::error::ArrowError| status::internal(&error.to_string());
    let mut writer = StreamWriter::try_new(Vec::new(), rows.schema_ref()).map_err(failed)?;
    writer.write(rows).map_err(failed)?;
    Ok(writer.into_inner().map_err(failed)?.into())
}

fn wrong(why: String) -> Status {
    status::new(Code::InvalidArgument, why)
}
