//! Which queries run for which tickets, so that a client can cancel by the FlightInfo it has.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use skein_model::QueryId;

/// Running queries by statement id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Running(Arc<Mutex<HashMap<String, Vec<QueryId>>>>);

/// One of them; leaves the list when dropped.
#[derive(Debug)]
pub(crate) struct RunningQuery {
    list: Running,
    statement: String,
    query: QueryId,
}

impl Running {
    /// Lists a query for as long as the answer is kept.
    pub(crate) fn add(&self, statement: &str, query: QueryId) -> RunningQuery {
        self.0.lock().entry(statement.to_owned()).or_default().push(query);
        RunningQuery { list: self.clone(), statement: statement.to_owned(), query }
    }

    /// The queries that run for a statement.
    pub(crate) fn of(&self, statement: &str) -> Vec<QueryId> {
        self.0.lock().get(statement).cloned().unwrap_or_default()
    }
}

impl Drop for RunningQuery {
    fn drop(&mut self) {
        let mut list = self.list.0.lock();
        if let Some(queries) = list.get_mut(&self.statement) {
            queries.retain(|query| *query != self.query);
            if queries.is_empty() {
                list.remove(&self.statement);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_listed_while_it_runs() {
        let running = Running::default();
        let id = QueryId::generate();
        let first = running.add("s", id);
        let second = running.add("s", QueryId::generate());
        assert_eq!(running.of("s").len(), 2);
        drop(second);
        assert_eq!(running.of("s"), [id]);
        drop(first);
        assert!(running.of("s").is_empty() && running.0.lock().is_empty());
    }
}
