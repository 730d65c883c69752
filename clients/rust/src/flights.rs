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
        let response = self.inner().get_flight_info(descriptor(path)).await.map_err(|status| self.error(status))?;
        let info = self.opened(response);
        ResultStream::open(self, info).await
    }

    /// The columns of a table.
    ///
    /// # Errors
    /// The server's.
    pub async fn schema(&self, path: &[&str]) -> Result<SchemaRef> {
        let response = self.inner().get_schema(descriptor(path)).await.map_err(|status| self.error(status))?;
        let result = self.opened(response);
        Ok(SchemaRef::new(Schema::try_from(&result)?))
    }

    /// The tables that can be read by path.
    ///
    /// # Errors
    /// The server's.
    pub async fn flights(&self) -> Result<Vec<FlightInfo>> {
        let criteria = Criteria { expression: bytes::Bytes::new() };
        let response = self.inner().list_flights(criteria).await.map_err(|status| self.error(status))?;
        self.opened(response).try_collect().await.map_err(|status| self.error(status))
    }
}

fn descriptor(path: &[&str]) -> FlightDescriptor {
    FlightDescriptor::new_path(path.iter().map(|part| (*part).to_owned()).collect())
}
