//! What Skein does not do, by name, with what to do instead.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Query, SetExpr, Statement, Visit, Visitor};

use crate::{Error, Result};

/// The refusal of a statement that has no place in Skein.
pub(crate) fn refuse(statement: &Statement) -> Error {
    let (name, instead) = match statement {
        Statement::Update(_) => ("UPDATE inside of a query", ALONE),
        Statement::Delete(_) => ("DELETE inside of a query", ALONE),
        Statement::Merge(_) => ("MERGE inside of a query", ALONE),
        Statement::AlterTable(_) => ("ALTER TABLE inside of a query", ALONE),
        Statement::AlterView { .. } => ("ALTER VIEW", "use CREATE OR REPLACE VIEW"),
        Statement::StartTransaction { .. } => ("BEGIN with a modifier or a body", TRANSACTION),
        Statement::Commit { .. } => ("COMMIT with a modifier", TRANSACTION),
        Statement::Prepare { .. } => ("PREPARE", PREPARED),
        Statement::Execute { .. } => ("EXECUTE", PREPARED),
        Statement::Deallocate { .. } => ("DEALLOCATE", PREPARED),
        Statement::CreateIndex(_) => ("CREATE INDEX inside of a query", ALONE),
        Statement::CreateFunction(_) => ("CREATE FUNCTION", "use a view, or an expression in the query"),
        Statement::DropFunction(_) => ("DROP FUNCTION", "functions are built in"),
        Statement::CreateDatabase { .. } => ("CREATE DATABASE", "there is one catalog, 'skein'; use CREATE SCHEMA"),
        Statement::Use(_) => ("USE", "use SET schema = '<name>'"),
        Statement::Grant(_) => ("GRANT", ROLES),
        Statement::Revoke(_) => ("REVOKE", ROLES),
        Statement::CreateUser(_) => ("CREATE USER", "use the action user.create"),
        Statement::Analyze(_) => ("ANALYZE", "statistics are kept by every write"),
        Statement::Vacuum(_) => ("VACUUM", "use the action dataset.gc"),
        other => return Error::unsupported(first_words(other), "see the SQL section of the user guide for what is"),
    };
    Error::unsupported(name, instead)
}

const ALONE: &str = "send it as a statement of its own";
const TRANSACTION: &str = "use BEGIN, then statements one by one, then COMMIT or ROLLBACK";
const PREPARED: &str = "use the prepared statements of your Flight SQL client";
const ROLES: &str = "every user may read and write all tables in this version";

fn first_words(statement: &Statement) -> String {
    let text = statement.to_string();
    let words: Vec<_> = text.split_whitespace().take(2).collect();
    words.join(" ").to_uppercase()
}

/// Refuses queries that hide a change, such as `WITH ... DELETE`, that would make a table, such as `SELECT INTO`, or that ask for what
/// DataFusion would pass over in silence, such as `SELECT ... FOR UPDATE`; wherever in the query.
pub(crate) fn check_query(query: &Query) -> Result<()> {
    match query.visit(&mut Hidden) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(refusal) => Err(refusal),
    }
}

struct Hidden;

impl Visitor for Hidden {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        if let Some(lock) = query.locks.first() {
            let refusal =
                Error::unsupported(format!("SELECT ... {lock}"), "a query reads one snapshot and locks nothing");
            return ControlFlow::Break(refusal);
        }
        match check_body(&query.body) {
            Ok(()) => ControlFlow::Continue(()),
            Err(refusal) => ControlFlow::Break(refusal),
        }
    }
}

fn check_body(body: &SetExpr) -> Result<()> {
    match body {
        SetExpr::Insert(statement)
        | SetExpr::Update(statement)
        | SetExpr::Delete(statement)
        | SetExpr::Merge(statement) => match statement {
            Statement::Insert(_) => Err(Error::unsupported("WITH ... INSERT", "write INSERT INTO t WITH ... SELECT")),
            other => Err(refuse(other)),
        },
        SetExpr::Select(select) if select.into.is_some() => {
            Err(Error::unsupported("SELECT INTO", "use CREATE TABLE ... AS SELECT"))
        }
        SetExpr::SetOperation { left, right, .. } => {
            check_body(left)?;
            check_body(right)
        }
        // Visited by itself.
        SetExpr::Query(_) | SetExpr::Select(_) | SetExpr::Values(_) | SetExpr::Table(_) => Ok(()),
    }
}
