//! `t VERSION AS OF 3`, `t TIMESTAMP AS OF '...'`, `t FOR SYSTEM_TIME AS OF ...`: which tables a statement reads at a version.

use std::ops::ControlFlow;

use datafusion::sql::{
    parser::{CopyToSource, Statement as DfStatement},
    sqlparser::ast::{Expr, ObjectName, TableFactor, TableVersion, Value, Visit, Visitor},
};

use crate::{Error, Result};

/// A table read at a version.
#[derive(Debug, Clone)]
pub(crate) struct VersionedTable {
    pub(crate) name: ObjectName,
    /// The version's text, by which the planner finds it again.
    pub(crate) text: String,
    pub(crate) version: Version,
}

/// Which version.
#[derive(Debug, Clone)]
pub(crate) enum Version {
    Number(u64),
    /// An expression that gives a time.
    Time(Box<Expr>),
}

/// The tables a statement reads at a version.
pub(crate) fn versioned_tables(statement: &DfStatement) -> Result<Vec<VersionedTable>> {
    let mut found = Found::default();
    visit(statement, &mut found);
    match found.error {
        Some(error) => Err(error),
        None => Ok(found.tables),
    }
}

pub(super) fn visit<V: Visitor<Break = ()>>(statement: &DfStatement, found: &mut V) {
    let _: ControlFlow<()> = match statement {
        DfStatement::Statement(statement) => statement.visit(found),
        DfStatement::CopyTo(copy) => match &copy.source {
            CopyToSource::Query(query) => query.visit(found),
            CopyToSource::Relation(_) => ControlFlow::Continue(()),
        },
        DfStatement::Explain(explain) => {
            visit(&explain.statement, found);
            ControlFlow::Continue(())
        }
        DfStatement::CreateExternalTable(_) | DfStatement::Reset(_) => ControlFlow::Continue(()),
    };
}

#[derive(Default)]
struct Found {
    tables: Vec<VersionedTable>,
    error: Option<Error>,
}

impl Visitor for Found {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let TableFactor::Table { name, version: Some(version), .. } = factor else { return ControlFlow::Continue(()) };
        match read(version) {
            Ok(meant) => {
                self.tables.push(VersionedTable { name: name.clone(), text: version.to_string(), version: meant });
                ControlFlow::Continue(())
            }
            Err(error) => {
                self.error = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}

fn read(version: &TableVersion) -> Result<Version> {
    match version {
        TableVersion::VersionAsOf(Expr::Value(value)) => {
            match &value.value {
                Value::Number(number, _) => number.to_string().parse().map(Version::Number).map_err(|_| {
                    Error::Invalid(format!("'{number}' is no version; versions are whole numbers from 1"))
                }),
                other => Err(Error::Invalid(format!("'{other}' is no version; versions are whole numbers from 1"))),
            }
        }
        TableVersion::TimestampAsOf(time) | TableVersion::ForSystemTimeAsOf(time) => {
            Ok(Version::Time(Box::new(time.clone())))
        }
        other => Err(Error::unsupported(
            other.to_string(),
            "write VERSION AS OF <number> or TIMESTAMP AS OF '<time>' after the table's name",
        )),
    }
}
