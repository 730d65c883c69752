//! How many tables a statement reads once every WITH query stands wherever it is named. DataFusion puts them there while it plans, and
//! walks over all of them for every column: forty, each reading the one before twice, are a short statement that is planned for ever.

use std::{
    collections::{HashMap, HashSet},
    ops::ControlFlow,
    ptr,
};

use datafusion::sql::{
    parser::{CopyToSource, Statement as DfStatement},
    sqlparser::ast::{ObjectName, Query, Visit, Visitor},
};

use crate::{Error, Result};

/// Most tables that a statement may read so.
const MAX_TABLES: u64 = 10_000;

/// Refuses a statement that reads more.
pub(super) fn check(statement: &DfStatement) -> Result<()> {
    let mut weights = Weights::default();
    match visit(statement, &mut weights) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Invalid(format!(
            "the statement reads more than {MAX_TABLES} tables once its WITH queries are put in wherever they are named; \
             store one of them with CREATE TABLE ... AS SELECT and read that"
        ))),
    }
}

fn visit(statement: &DfStatement, weights: &mut Weights) -> ControlFlow<()> {
    match statement {
        DfStatement::Statement(statement) => statement.visit(weights),
        DfStatement::CopyTo(copy) => match &copy.source {
            CopyToSource::Query(query) => query.visit(weights),
            CopyToSource::Relation(_) => ControlFlow::Continue(()),
        },
        DfStatement::Explain(explain) => visit(&explain.statement, weights),
        DfStatement::CreateExternalTable(_) | DfStatement::Reset(_) => ControlFlow::Continue(()),
    }
}

/// Names are taken without their scopes: two WITH queries of one name weigh what the later one weighs.
#[derive(Default)]
struct Weights {
    by_name: HashMap<String, u64>,
    /// The queries of WITH, by where they are.
    names: HashMap<*const Query, String>,
    /// Of the queries that are being visited, outermost first.
    open: Vec<u64>,
    /// Queries whose WITH was seen.
    seen: HashSet<*const Query>,
}

impl Visitor for Weights {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if let Some(with) = &query.with
            && self.seen.insert(ptr::from_ref(query))
        {
            for cte in &with.cte_tables {
                self.names.insert(ptr::from_ref(cte.query.as_ref()), cte.alias.name.value.to_lowercase());
            }
        }
        self.open.push(1);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let weight = self.open.pop().unwrap_or_default();
        if weight > MAX_TABLES {
            return ControlFlow::Break(());
        }
        match self.names.get(&ptr::from_ref(query)) {
            Some(name) => {
                self.by_name.insert(name.clone(), weight);
            }
            None => {
                if let Some(outer) = self.open.last_mut() {
                    *outer = outer.saturating_add(weight);
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let weight = match relation.0.as_slice() {
            [name] => {
                let name = name.as_ident().map(|ident| ident.value.to_lowercase()).unwrap_or_default();
                self.by_name.get(&name).copied().unwrap_or(1)
            }
            _ => 1,
        };
        if let Some(open) = self.open.last_mut() {
            *open = open.saturating_add(weight);
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    #[test]
    fn doubling_is_refused_and_long_chains_are_not() {
        let doubling = |n: usize| {
            let ctes = (1..n).map(|i| format!("c{i} as (select a from c{0} union all select a from c{0})", i - 1));
            format!("with c0 as (select 1 a), {} select * from c{}", ctes.collect::<Vec<_>>().join(", "), n - 1)
        };
        assert!(parse(&doubling(8)).is_ok());
        assert!(parse(&doubling(40)).unwrap_err().to_string().contains("tables once"));
        let nested = format!("explain select * from ({}) t", doubling(40));
        assert!(parse(&nested).is_err());
        let chain: Vec<_> = (1..300).map(|i| format!("c{i} as (select * from c{})", i - 1)).collect();
        assert!(parse(&format!("with c0 as (select 1 a), {} select * from c299", chain.join(", "))).is_ok());
    }
}
