//! PATH descriptors and bare names: a table, read in full. ListFlights.

use std::sync::Arc;

use arrow_flight::{FlightDescriptor, FlightInfo};
use arrow_schema::SchemaRef;
use futures::{StreamExt, TryStreamExt, stream};
use skein_model::{DEFAULT_SCHEMA, ErrorKind, Kind as _, TableName};
use skein_proto::{StatementTicket, TicketKind};
use skein_query::{Pins, Plan, Session, TableInfo, TableKind, TableSize};

use super::{
    pattern::Pattern,
    statement::{Runnable, new_id},
};
use crate::{Answer, Call, Error, FlightSql, Result};

/// How many tables' schemas are looked up at the same time.
const CONCURRENT_LOOKUPS: usize = 16;

impl FlightSql {
    /// GetFlightInfo.
    pub(crate) async fn table_info(
        &self,
        session: &Call,
        descriptor: &FlightDescriptor,
        parts: &[String],
    ) -> Result<FlightInfo> {
        let plan = table_plan(session, parts).await?;
        // The plan says what was read: a bare name may have been a temporary table.
        let size = match plan.pins().is_empty() {
            true => None,
            false => session.table_size(&TableName::from_path(parts)?, plan.pins()).await?,
        };
        let info = self.run_info(session, descriptor, Runnable { plan, parameters: None }, true).await?;
        Ok(with_size(info, size))
    }

    /// GetSchema.
    pub(crate) async fn table_schema(&self, session: &Call, parts: &[String]) -> Result<SchemaRef> {
        Runnable { plan: table_plan(session, parts).await?, parameters: None }.wire_schema(session.encoding())
    }

    /// DoGet with the name itself as ticket.
    pub(crate) async fn open_table(&self, session: &Call, parts: &[String]) -> Result<Answer> {
        let run = Runnable { plan: table_plan(session, parts).await?, parameters: None };
        self.run(run, session.encoding(), &new_id()).await
    }

    /// ListFlights.
    pub(crate) async fn list(&self, session: &Call, criteria: &[u8]) -> Result<Vec<FlightInfo>> {
        let criteria = std::str::from_utf8(criteria).map_err(|_| {
            Error::invalid("the criteria are not text; send nothing, or a pattern for names such as 'sales_%'")
        })?;
        let pattern = (!criteria.is_empty()).then(|| Pattern::new(criteria));
        let tables = session.tables().await?.into_iter().filter(|table| is_listed(table, pattern.as_ref()));
        stream::iter(tables.map(|table| self.listed(session, table)))
            .buffered(CONCURRENT_LOOKUPS)
            .try_filter_map(|info| async { Ok(info) })
            .try_collect()
            .await
    }

    /// One table's FlightInfo; `None` when its schema cannot be read, which must not hide all the others.
    async fn listed(&self, session: &Call, table: TableInfo) -> Result<Option<FlightInfo>> {
        let name = TableName::new(&table.schema, &table.table)?;
        let schema = match session.table_schema(&name).await {
            Ok(schema) => schema,
            Err(error) => {
                tracing::warn!(table = %name, %error, "the schema of a table cannot be read; it is not listed");
                return Ok(None);
            }
        };
        let ticket = StatementTicket {
            statement_id: new_id(),
            sql: format!("SELECT * FROM {}.{}", quote(name.schema()), quote(name.table())),
            ..Default::default()
        };
        let mut path = vec![table.table];
        if table.schema != DEFAULT_SCHEMA {
            path.insert(0, table.schema);
        }
        let descriptor = FlightDescriptor::new_path(path);
        let schema = session.encoding().wire_schema(&schema);
        let info = self.info(session, &descriptor, Some(&schema), vec![TicketKind::Statement(ticket)])?;
        Ok(Some(with_size(info, session.table_size(&name, &Pins::new()).await?)))
    }
}

/// Tells the client how much to expect, where that is known.
fn with_size(info: FlightInfo, size: Option<TableSize>) -> FlightInfo {
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    match size {
        Some(TableSize { rows, bytes }) => info.with_total_records(count(rows)).with_total_bytes(count(bytes)),
        None => info,
    }
}

/// A bare name is looked up as in SQL: temporary tables first, then the session's schema.
async fn table_plan(session: &Arc<Session>, parts: &[String]) -> Result<Plan> {
    let name = TableName::from_path(parts)?;
    match parts {
        [table] => {
            let plan = session.plan(&format!("SELECT * FROM {}", quote(table)), &Pins::new()).await;
            plan.map_err(|error| hint_at_sql(error.into(), table))
        }
        _ => Ok(session.read_table(&name).await?),
    }
}

/// `SELEC 1` is looked for as a table, because tables may have any name; but who sends it means a statement.
fn hint_at_sql(error: Error, text: &str) -> Error {
    let mut words = text.split_whitespace();
    match (error.kind(), words.next(), words.next()) {
        (ErrorKind::NotFound, Some(first), Some(_)) => Error::server(
            ErrorKind::NotFound,
            format!(
                "{error}. It was taken for a table's name because no statement starts with '{first}'; if it is SQL, correct that word"
            ),
        ),
        _ => error,
    }
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn is_listed(table: &TableInfo, pattern: Option<&Pattern>) -> bool {
    table.kind != TableKind::System
        && pattern.is_none_or(|pattern| {
            pattern.matches(&table.table) || pattern.matches(&format!("{}.{}", table.schema, table.table))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criteria_are_patterns_for_names() {
        let table = |kind| TableInfo { schema: "public".into(), table: "sales_2024".into(), kind };
        let listed = |pattern: &str| is_listed(&table(TableKind::Dataset), Some(&Pattern::new(pattern)));
        assert!(listed("sales%") && listed("public.%") && !listed("other%"));
        assert!(is_listed(&table(TableKind::View), None));
        assert!(!is_listed(&table(TableKind::System), None));
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
    }
}
