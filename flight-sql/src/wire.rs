//! Messages of FlightSql.proto that arrow-flight does not have in full.

use arrow_flight::sql::{Any, ProstMessageExt};
use bytes::Bytes;
use prost::Message as _;

/// The result of the action CreatePreparedStatement, with the field `is_update` of newer versions of the specification.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ActionCreatePreparedStatementResult {
    /// Names the statement from now on.
    #[prost(bytes = "bytes", tag = "1")]
    pub prepared_statement_handle: Bytes,
    /// The result's schema as an IPC message; empty for a statement without result set, by which JDBC tells updates.
    #[prost(bytes = "bytes", tag = "2")]
    pub dataset_schema: Bytes,
    /// The parameters' schema as an IPC message; empty when there are none.
    #[prost(bytes = "bytes", tag = "3")]
    pub parameter_schema: Bytes,
    /// Whether to run it by DoPut (CommandPreparedStatementUpdate) instead of GetFlightInfo and DoGet.
    #[prost(bool, optional, tag = "4")]
    pub is_update: Option<bool>,
}

impl ProstMessageExt for ActionCreatePreparedStatementResult {
    fn type_url() -> &'static str {
        "type.googleapis.com/arrow.flight.protocol.sql.ActionCreatePreparedStatementResult"
    }

    fn as_any(&self) -> Any {
        Any { type_url: Self::type_url().to_owned(), value: self.encode_to_vec().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_clients_can_read_it() {
        let ours = ActionCreatePreparedStatementResult {
            prepared_statement_handle: Bytes::from_static(b"h"),
            is_update: Some(true),
            ..Default::default()
        };
        let any = ours.as_any();
        let theirs: arrow_flight::sql::ActionCreatePreparedStatementResult = any.unpack().unwrap().unwrap();
        assert_eq!(theirs.prepared_statement_handle, ours.prepared_statement_handle);
    }
}
