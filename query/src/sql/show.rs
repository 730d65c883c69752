//! SHOW statements, written as the queries they stand for where DataFusion has no words for them.

use datafusion::sql::{
    parser::Statement as DfStatement,
    sqlparser::ast::{
        DescribeAlias, ObjectName, ShowCreateObject, ShowStatementFilter, ShowStatementFilterPosition,
        ShowStatementOptions, Statement,
    },
};

use super::parse::{parts, text};
use crate::{Error, Result};

/// What to do with a statement.
#[derive(Debug)]
pub(crate) enum Show {
    /// It is none of ours.
    Other(DfStatement),
    /// Run this query in its place.
    Query(String),
    /// Show the definition of this table.
    Create(ObjectName),
    /// List the columns of this table.
    Columns(ObjectName),
    /// Show this session option, or DataFusion's setting of that name.
    Option(String, DfStatement),
}

/// Looks at a statement.
pub(crate) fn rewrite(statement: DfStatement) -> Result<Show> {
    let DfStatement::Statement(inner) = &statement else { return Ok(Show::Other(statement)) };
    Ok(match inner.as_ref() {
        Statement::ShowTables { show_options, external, .. } => {
            Show::Query(tables(show_options, external.then_some("table_type = 'EXTERNAL TABLE'"))?)
        }
        Statement::ShowViews { show_options, .. } => Show::Query(tables(show_options, Some("table_type = 'VIEW'"))?),
        Statement::ShowSchemas { show_options, .. } | Statement::ShowDatabases { show_options, .. } => {
            let filter = filter(show_options, "schema_name")?;
            Show::Query(format!(
                "SELECT catalog_name, schema_name FROM information_schema.schemata{filter} ORDER BY schema_name"
            ))
        }
        Statement::ShowCatalogs { .. } => {
            Show::Query("SELECT DISTINCT catalog_name FROM information_schema.schemata".to_owned())
        }
        Statement::ShowCreate { obj_type: ShowCreateObject::Table | ShowCreateObject::View, obj_name } => {
            Show::Create(obj_name.clone())
        }
        Statement::ExplainTable {
            describe_alias: DescribeAlias::Describe | DescribeAlias::Desc, table_name, ..
        } => Show::Columns(table_name.clone()),
        Statement::ShowVariable { variable } => match variable.as_slice() {
            [one] if !one.value.eq_ignore_ascii_case("all") => Show::Option(one.value.to_lowercase(), statement),
            _ => Show::Other(statement),
        },
        _ => Show::Other(statement),
    })
}

fn tables(options: &ShowStatementOptions, kind: Option<&str>) -> Result<String> {
    let mut filter = filter(options, "table_name")?;
    let mut add = |condition: &str| {
        filter.push_str(if filter.is_empty() { " WHERE " } else { " AND " });
        filter.push_str(condition);
    };
    // Who asks for the server's own tables names their schema.
    let hidden = "table_schema NOT IN ('information_schema', 'system')";
    let schema = options.show_in.as_ref().and_then(|show| show.parent_name.as_ref());
    match schema {
        Some(name) => {
            let schema = parts(name, true)?.pop().unwrap_or_default();
            add(&format!("table_schema = {}", text(&schema)));
        }
        None => add(hidden),
    }
    if let Some(kind) = kind {
        add(kind);
    }
    Ok(format!(
        "SELECT table_catalog, table_schema, table_name, table_type FROM information_schema.tables{filter} \
         ORDER BY table_schema, table_name"
    ))
}

fn filter(options: &ShowStatementOptions, column: &str) -> Result<String> {
    if options.starts_with.is_some() || options.limit.is_some() || options.limit_from.is_some() {
        return Err(Error::unsupported("SHOW ... STARTS WITH / LIMIT", "query information_schema"));
    }
    let filter = match &options.filter_position {
        None => return Ok(String::new()),
        Some(ShowStatementFilterPosition::Infix(filter) | ShowStatementFilterPosition::Suffix(filter)) => filter,
    };
    Ok(match filter {
        ShowStatementFilter::Like(pattern) | ShowStatementFilter::NoKeyword(pattern) => {
            format!(" WHERE {column} LIKE {}", text(pattern))
        }
        ShowStatementFilter::ILike(pattern) => format!(" WHERE {column} ILIKE {}", text(pattern)),
        ShowStatementFilter::Where(condition) => format!(" WHERE ({condition})"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::parse;

    fn query(sql: &str) -> String {
        match rewrite(parse(sql).unwrap()).unwrap() {
            Show::Query(query) => query,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn show_becomes_a_query() {
        assert!(query("show tables").contains("FROM information_schema.tables WHERE table_schema NOT IN"));
        assert!(query("show tables like 'a''b%'").contains("WHERE table_name LIKE 'a''b%'"));
        assert!(query("show tables in mine").contains("WHERE table_schema = 'mine'"));
        assert!(query("show schemas").contains("information_schema.schemata"));
    }
}
