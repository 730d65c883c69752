//! Statements that are planned once and run many times.

use arrow_flight::{
    IpcMessage,
    sql::{
        ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
        CommandPreparedStatementQuery, CommandPreparedStatementUpdate, DoPutPreparedStatementResult, ProstMessageExt,
    },
};
use arrow_schema::{Schema, SchemaRef};
use bytes::Bytes;
use prost::Message;

use crate::{
    Client, Error, Params, Result, ResultStream,
    client::{command, unpack},
    put,
};

/// A prepared statement. It can be run concurrently; values are bound to each run by itself.
#[derive(Debug, Clone)]
pub struct Prepared {
    client: Client,
    handle: Bytes,
    schema: SchemaRef,
    parameters: SchemaRef,
}

impl Client {
    /// Plans a statement. Parameters are written `$1`, `$2`, ... or `?`.
    ///
    /// # Errors
    /// The server's, for a statement that is wrong.
    pub async fn prepare(&self, sql: impl Into<String>) -> Result<Prepared> {
        let request = ActionCreatePreparedStatementRequest { query: sql.into(), transaction_id: self.transaction_id() };
        let answers = self.act("CreatePreparedStatement", request.as_any().encode_to_vec()).await?;
        let answer = answers.first().ok_or_else(|| Error::protocol("no prepared statement in the answer"))?;
        let answer: ActionCreatePreparedStatementResult = unpack(answer)?;
        Ok(Prepared {
            client: self.clone(),
            handle: answer.prepared_statement_handle,
            schema: decode_schema(answer.dataset_schema)?,
            parameters: decode_schema(answer.parameter_schema)?,
        })
    }
}

impl Prepared {
    /// The columns of the result; none for a statement that changes something.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// The parameters, in order.
    pub fn parameters(&self) -> SchemaRef {
        self.parameters.clone()
    }

    /// Whether it returns rows.
    pub fn is_query(&self) -> bool {
        !self.schema.fields().is_empty()
    }

    /// Runs it as a query.
    ///
    /// # Errors
    /// The server's; later errors come out of the stream.
    pub async fn query(&self, params: impl Into<Params>) -> Result<ResultStream> {
        let handle = match params.into().batch()? {
            Some(batch) => self.bind(batch).await?,
            None => self.handle.clone(),
        };
        let query = CommandPreparedStatementQuery { prepared_statement_handle: handle };
        let info = self.client.flight_info(&query).await?;
        ResultStream::open(&self.client, info).await
    }

    /// Runs it as a change, once for each row of the parameters, and returns the number of rows affected: -1 where that
    /// means nothing.
    ///
    /// # Errors
    /// The server's.
    pub async fn update(&self, params: impl Into<Params>) -> Result<i64> {
        let update = CommandPreparedStatementUpdate { prepared_statement_handle: self.handle.clone() };
        put::update(&self.client, command(&update), params.into().batch()?).await
    }

    /// Tells the server that it will not be used again. The server also forgets idle statements by itself.
    ///
    /// # Errors
    /// The server's.
    pub async fn close(self) -> Result<()> {
        let request = ActionClosePreparedStatementRequest { prepared_statement_handle: self.handle.clone() };
        self.client.act("ClosePreparedStatement", request.as_any().encode_to_vec()).await.map(|_| ())
    }

    /// Sends values for a query; the answer is a handle that stands for the statement with these values.
    async fn bind(&self, batch: arrow::array::RecordBatch) -> Result<Bytes> {
        let query = CommandPreparedStatementQuery { prepared_statement_handle: self.handle.clone() };
        let answer = put::put_batches(&self.client, command(&query), batch.schema(), vec![batch]).await?;
        let Some(answer) = answer else { return Ok(self.handle.clone()) };
        let answer = DoPutPreparedStatementResult::decode(answer).map_err(Error::protocol)?;
        Ok(answer.prepared_statement_handle.unwrap_or_else(|| self.handle.clone()))
    }
}

fn decode_schema(bytes: Bytes) -> Result<SchemaRef> {
    if bytes.is_empty() {
        return Ok(SchemaRef::new(Schema::empty()));
    }
    Ok(SchemaRef::new(Schema::try_from(IpcMessage(bytes))?))
}
