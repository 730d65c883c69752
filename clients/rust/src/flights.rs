//! Whole tables, by path.

use arrow_flight::{Criteria, FlightDescriptor, FlightInfo};
use arrow_schema::{Schema, SchemaRef};
use futures::TryStreamExt;

use crate::{Client, Result, ResultStream};

impl Client {
    /// Reads a table, `[table]` or `[schema, table]`. Parts are taken literally, so no quoting is needed.
    ///
    /// # Errors
    /// The server's; later errors come out of the stream.
    pub async fn read(&self, path: &[&str]) -> Result<ResultStream> {
        let info =
            self.call(descriptor(path), |mut inner, path| async move { inner.get_flight_info(path).await }).await?;
        ResultStream::open(self, info).await
    }

    /// The columns of a table.
    ///
    /// # Errors
    /// The server's.
    pub async fn schema(&self, path: &[&str]) -> Result<SchemaRef> {
        let result = self.call(descriptor(path), |mut inner, path| async move { inner.get_schema(path).await }).await?;
        Ok(SchemaRef::new(Schema::try_from(&result)?))
    }

    /// The tables that can be read by path.
    ///
    /// # Errors
    /// The server's.
    pub async fn flights(&self) -> Result<Vec<FlightInfo>> {
        let criteria = Criteria { expression: bytes::Bytes::new() };
        let flights =
            self.call(criteria, |mut inner, criteria| async move { inner.list_flights(criteria).await }).await?;
        flights.try_collect().await.map_err(|status| self.error(status))
    }
}

fn descriptor(path: &[&str]) -> FlightDescriptor {
    FlightDescriptor::new_path(path.iter().map(|part| (*part).to_owned()).collect())
}
