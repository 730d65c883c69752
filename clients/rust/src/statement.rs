//! Statements that run once.

use arrow_flight::{
    FlightInfo,
    sql::{CommandStatementQuery, CommandStatementUpdate, ProstMessageExt},
};

use crate::{Client, Result, ResultStream, client::command, put};

/// What a statement of unknown kind did.
#[derive(Debug)]
pub enum Outcome {
    /// It was a query: here are its rows.
    Rows(ResultStream),
    /// It changed something. The number of rows affected, where that means anything.
    Done(Option<u64>),
}

impl Client {
    /// Runs a query.
    ///
    /// # Errors
    /// The server's, for a statement that is wrong or fails; later errors come out of the stream.
    pub async fn query(&self, sql: impl Into<String>) -> Result<ResultStream> {
        let query = CommandStatementQuery { query: sql.into(), transaction_id: self.transaction_id() };
        let info = self.flight_info(&query).await?;
        ResultStream::open(self, info).await
    }

    /// Runs a statement that changes something, and returns the number of rows affected: -1 where that means nothing,
    /// as for `CREATE TABLE`.
    ///
    /// # Errors
    /// The server's.
    pub async fn update(&self, sql: impl Into<String>) -> Result<i64> {
        let update = CommandStatementUpdate { query: sql.into(), transaction_id: self.transaction_id() };
        put::update(self, command(&update), None).await
    }

    /// Runs a statement of either kind.
    ///
    /// # Errors
    /// The server's.
    pub async fn execute(&self, sql: impl Into<String>) -> Result<Outcome> {
        let statement = self.prepare(sql).await?;
        if statement.is_query() {
            return statement.query(()).await.map(Outcome::Rows);
        }
        let count = statement.update(()).await?;
        Ok(Outcome::Done(u64::try_from(count).ok()))
    }

    pub(crate) async fn flight_info(&self, message: &impl ProstMessageExt) -> Result<FlightInfo> {
        self.call(command(message), |mut inner, command| async move { inner.get_flight_info(command).await }).await
    }
}
