//! DoGet: streams the result that a ticket stands for. Below tonic's codec, so that Arrow buffers are not copied.

use std::sync::Arc;

use arrow_flight::Ticket;
use futures::StreamExt as _;
use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_TYPE, USER_AGENT},
};
use tonic::{
    Code, Status, Streaming,
    codec::{Codec as _, CompressionEncoding},
};
use tonic_prost::ProstCodec;

use super::Caller;
use crate::{
    encode::{self, EncodeOptions},
    layers::{HttpRequest, HttpResponse},
    server::State,
    status,
};

/// Largest ticket, in bytes. A ticket carries SQL and bound values.
const MAX_TICKET_BYTES: usize = 32 << 20;
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// The whole answer. An error before the first batch is a response of its own, later ones end the stream.
pub(super) async fn answer(state: &Arc<State>, request: HttpRequest) -> HttpResponse {
    match open(state, request).await {
        Ok(body) => {
            let mut response = HttpResponse::new(body);
            response.headers_mut().insert(CONTENT_TYPE, GRPC);
            response
        }
        Err(status) => status.into_http(),
    }
}

async fn open(state: &Arc<State>, request: HttpRequest) -> Result<tonic::body::Body, Status> {
    let (parts, body) = request.into_parts();
    let caller = Caller::in_extensions(parts.extensions.get())?;
    let ticket = ticket(&parts.headers, body).await?;
    let user_agent = parts.headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
    let call = caller.call(&parts.headers)?;
    let options = EncodeOptions::for_user_agent(user_agent).asked_for(call.delivery());
    let answer = state.flight_sql.open(&call, &ticket).await.map_err(|error| status::from_error(&error))?;
    if let Some(query) = answer.query_id {
        tracing::info!(%query, principal = %caller.identity.principal, session = %caller.session.id(), "streaming");
    }
    let metrics = Arc::clone(&state.metrics);
    // The session stays open as long as one of its streams does.
    let session = caller.session;
    let batches = answer.stream.map(move |batch| {
        let _in_use = &session;
        let batch = batch.map_err(|error| status::from_error(&error))?;
        metrics.rows_sent(batch.num_rows() as u64);
        Ok(batch)
    });
    Ok(encode::body(answer.schema, batches.boxed(), options).await)
}

/// The one message of the request.
async fn ticket(headers: &HeaderMap, body: tonic::body::Body) -> Result<Ticket, Status> {
    let decoder = ProstCodec::<Ticket, Ticket>::default().decoder();
    let mut messages = Streaming::new_request(decoder, body, encoding(headers)?, Some(MAX_TICKET_BYTES));
    messages
        .message()
        .await?
        .ok_or_else(|| status::new(Code::InvalidArgument, "DoGet came without a ticket; send the one of a FlightInfo"))
}

fn encoding(headers: &HeaderMap) -> Result<Option<CompressionEncoding>, Status> {
    match headers.get("grpc-encoding").map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Ok(None),
        Some(b"gzip") => Ok(Some(CompressionEncoding::Gzip)),
        Some(b"zstd") => Ok(Some(CompressionEncoding::Zstd)),
        Some(other) => {
            let name = String::from_utf8_lossy(other);
            Err(status::new(
                Code::Unimplemented,
                format!("message compression '{name}' is not done here; use gzip or zstd"),
            ))
        }
    }
}
