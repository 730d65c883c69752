//! From a statement's text to its plan.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::TableReference,
    logical_expr::{DescribeTable, LogicalPlan},
    sql::{
        parser::{CopyToStatement, ExplainStatement, ResetStatement, Statement as DfStatement},
        planner::object_name_to_table_reference,
        sqlparser::ast::{ObjectName, ObjectType, Statement},
    },
};
use skein_catalog::{At, Entry};
use skein_model::TableName;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::Session;
use crate::{
    Error, Pins, Plan, Result, Source,
    names::Scope,
    sql::{self, Show},
    statement::{self, Update, definition},
};

/// Bytes from which on a statement is planned where nobody waits for the thread.
const LONG_STATEMENT: usize = 2 << 10;

impl Session {
    /// Parses, resolves and optimises one statement. Datasets named in `pins` are read at that version, the others at their latest.
    ///
    /// # Errors
    /// `InvalidInput` for a syntax error or more than one statement, `NotFound` for unknown names, `Unimplemented` for
    /// statements that Skein does not do.
    pub async fn plan(self: &Arc<Self>, sql: &str, pins: &Pins) -> Result<Plan> {
        let runtime = Handle::current();
        if sql.len() < LONG_STATEMENT || runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
            return self.plan_here(sql, pins).await;
        }
        // It may take seconds, in which this thread would serve nobody else.
        tokio::task::block_in_place(|| runtime.block_on(self.plan_here(sql, pins)))
    }

    /// Plans a statement in either form.
    ///
    /// # Errors
    /// As [`Session::plan`] and [`Session::plan_substrait`].
    pub async fn plan_source(self: &Arc<Self>, source: &Source, pins: &Pins) -> Result<Plan> {
        match source {
            Source::Sql(sql) => self.plan(sql, pins).await,
            Source::Substrait(plan) => self.plan_substrait(plan, pins).await,
        }
    }

    async fn plan_here(self: &Arc<Self>, sql: &str, pins: &Pins) -> Result<Plan> {
        self.touch();
        let changes = self.changes();
        let scope = Scope::new(self.clone(), pins.clone());
        if !pins.is_empty() {
            scope.reads_other();
        }
        let statement = match sql::rewrite_show(sql::parse(sql)?)? {
            Show::Other(statement) => statement,
            Show::Query(query) => sql::parse(&query)?,
            Show::Create(name) => {
                scope.reads_other();
                sql::parse(&show_create(&scope, name).await?)?
            }
            Show::Columns(name) => {
                scope.reads_other();
                sql::parse(&describe(&scope, name).await?)?
            }
            Show::Option(name, original) => match self.option(&name) {
                Some(value) => {
                    sql::parse(&format!("SELECT {} AS name, {} AS value", sql::text(&name), sql::text(&value)))?
                }
                None => original,
            },
        };
        match self.update(&scope, statement.clone(), sql).await? {
            Some(update) => Plan::update(self.clone(), sql, update, &scope),
            None => {
                let logical = match scope.plan(statement).await? {
                    // DESCRIBE of a query.
                    LogicalPlan::DescribeTable(described) => LogicalPlan::DescribeTable(DescribeTable {
                        schema: scope.shown(&described.schema),
                        ..described
                    }),
                    other => other,
                };
                Plan::query(self.clone(), sql, logical, &scope, changes)
            }
        }
    }

    /// A plan that reads all of one table.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn read_table(self: &Arc<Self>, name: &TableName) -> Result<Plan> {
        self.read_table_at(name, &Pins::new()).await
    }

    /// As [`Session::read_table`], at given versions.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn read_table_at(self: &Arc<Self>, name: &TableName, pins: &Pins) -> Result<Plan> {
        let (schema, table) = (sql::quote(name.schema()), sql::quote(name.table()));
        self.plan(&format!("SELECT * FROM {schema}.{table}"), pins).await
    }

    pub(super) async fn schema_of(self: &Arc<Self>, name: &TableName) -> Result<SchemaRef> {
        let scope = Scope::new(self.clone(), Pins::new());
        let reference = TableReference::partial(name.schema(), name.table());
        Ok(scope.provider(&reference, At::Latest).await?.schema())
    }

    /// The change a statement asks for; `None` when it is a query. Everything else is refused by name.
    async fn update(self: &Arc<Self>, scope: &Scope, statement: DfStatement, sql: &str) -> Result<Option<Update>> {
        let statement = match statement {
            DfStatement::CreateExternalTable(create) => {
                return Ok(Some(statement::create_external(scope, create).await?));
            }
            DfStatement::CopyTo(copy) => return copy_to(scope, copy).await.map(Some),
            DfStatement::Reset(ResetStatement::Variable(name)) => return Ok(Some(statement::reset(&name)?)),
            DfStatement::Explain(explain) => return check_explain(&explain).map(|()| None),
            DfStatement::Statement(statement) => *statement,
        };
        if let Some(control) = statement::control(&statement)? {
            return Ok(Some(Update::Control(control)));
        }
        Ok(Some(match statement {
            Statement::Query(query) => {
                sql::check_query(&query)?;
                return Ok(None);
            }
            Statement::Explain { statement, .. } => {
                check_explained(&statement)?;
                return Ok(None);
            }
            Statement::ExplainTable { .. }
            | Statement::ShowVariable { .. }
            | Statement::ShowColumns { .. }
            | Statement::ShowFunctions { .. } => return Ok(None),
            Statement::CreateTable(create) => statement::create_table(scope, create).await?,
            Statement::CreateView(create) => statement::create_view(scope, create, sql).await?,
            Statement::CreateSchema { schema_name, if_not_exists, .. } => {
                statement::create_schema(scope, &schema_name, if_not_exists)?
            }
            Statement::Insert(insert) => statement::insert(scope, insert).await?,
            Statement::Delete(delete) => statement::delete(scope, delete).await?,
            Statement::Update(update) => statement::update(scope, update).await?,
            Statement::Merge(merge) => statement::merge(scope, merge).await?,
            Statement::AlterTable(alter) => statement::alter_table(scope, alter).await?,
            Statement::CreateIndex(create) => statement::create_index(scope, create).await?,
            Statement::Truncate(truncate) => statement::truncate(scope, truncate).await?,
            Statement::Drop { object_type: ObjectType::Index, if_exists, names, .. } => {
                statement::drop_index(scope, &names, if_exists)?
            }
            Statement::Drop { object_type, if_exists, names, cascade, temporary, .. } => {
                statement::drop(scope, object_type, &names, if_exists, cascade, temporary)?
            }
            Statement::Set(set) => statement::set(set)?,
            other => return Err(sql::refuse(&other)),
        }))
    }
}

async fn copy_to(scope: &Scope, copy: CopyToStatement) -> Result<Update> {
    match scope.plan(DfStatement::CopyTo(copy)).await? {
        LogicalPlan::Copy(copy) => statement::copy(scope, copy),
        other => Err(Error::Invalid(format!("COPY was planned as {}", other.display()))),
    }
}

fn check_explain(explain: &ExplainStatement) -> Result<()> {
    match explain.statement.as_ref() {
        DfStatement::Statement(statement) => check_explained(statement),
        other => Err(unexplained(&other.to_string())),
    }
}

fn check_explained(statement: &Statement) -> Result<()> {
    match statement {
        Statement::Query(query) => sql::check_query(query),
        other => Err(unexplained(&other.to_string())),
    }
}

fn unexplained(statement: &str) -> Error {
    let word = statement.split_whitespace().next().unwrap_or_default().to_uppercase();
    Error::unsupported(format!("EXPLAIN {word}"), "explain the query in it")
}

/// `DESCRIBE t`, as a query with a row for each column. Types are those that the columns are sent in.
async fn describe(scope: &Scope, name: ObjectName) -> Result<String> {
    let normalise = scope.core().state.config_options().sql_parser.enable_ident_normalization;
    let reference = object_name_to_table_reference(name, normalise)?;
    let schema = scope.shown(&scope.provider(&reference, At::Latest).await?.schema());
    let rows = schema.fields().iter().map(|field| {
        let null = if field.is_nullable() { "YES" } else { "NO" };
        format!("({}, {}, '{null}')", sql::text(field.name()), sql::text(&field.data_type().to_string()))
    });
    let rows = rows.collect::<Vec<_>>().join(", ");
    Ok(match rows.is_empty() {
        true => "SELECT '' AS column_name, '' AS data_type, '' AS is_nullable WHERE false".to_owned(),
        false => format!("SELECT * FROM (VALUES {rows}) AS columns (column_name, data_type, is_nullable)"),
    })
}

/// `SHOW CREATE TABLE`, as a query of one row.
async fn show_create(scope: &Scope, name: ObjectName) -> Result<String> {
    let normalise = scope.core().state.config_options().sql_parser.enable_ident_normalization;
    let reference = object_name_to_table_reference(name, normalise)?;
    let (name, text) = match scope.temp_name(&reference) {
        Some(table) => {
            let name = TableName::new(super::TEMP_SCHEMA, table)?;
            let provider = scope.provider(&reference, At::Latest).await?;
            let text = definition::table(&name, &provider.schema(), &[]);
            (name, text)
        }
        None => {
            let name = scope.table_name(&reference)?;
            let entry = scope.session().catalog().resolve_opt(&name).await?;
            let text = match entry {
                Some(Entry::View(view)) => definition::view(&name, &view),
                Some(Entry::External(spec)) => definition::external(&name, &spec),
                Some(Entry::Dataset(dataset)) => {
                    let keys = scope.session().keys(|other| *other == name).await?;
                    definition::table(&name, &dataset.snapshot(At::Latest).await?.schema, &keys)
                }
                // A table of `system`, or nothing at all: the lookup says which.
                None => definition::table(&name, &scope.provider(&reference, At::Latest).await?.schema(), &[]),
            };
            (name, text)
        }
    };
    Ok(format!(
        "SELECT {} AS table_catalog, {} AS table_schema, {} AS table_name, {} AS definition",
        sql::text(skein_model::DEFAULT_CATALOG),
        sql::text(name.schema()),
        sql::text(name.table()),
        sql::text(&text)
    ))
}
