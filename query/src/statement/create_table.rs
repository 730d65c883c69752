//! `CREATE [OR REPLACE] [TEMPORARY] TABLE [IF NOT EXISTS] t (...)`, `... AS SELECT`.

use std::{collections::HashSet, sync::Arc};

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::{
    common::{Column, TableReference},
    logical_expr::{DdlStatement, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder},
    sql::{
        parser::Statement as DfStatement,
        sqlparser::ast::{ColumnOption, CreateTable as Ast, CreateTableOptions, Ident, Statement},
    },
};
use skein_catalog::{
    At, Change, ColumnNotes, Dataset, Entry, NewDataset, Operation, declare_keys, with_column_notes,
    writer::remove_files,
};
use skein_model::{ErrorKind, Kind, TableName};

use super::{
    Input, Running, Update,
    alter_table::{constant, default_text},
    conform,
    keys::{self, KeySpec},
    rows,
};
use crate::{Error, Result, TempMode, UpdateCount, names::Scope, session::TEMP_SCHEMA};

#[derive(Debug, Clone)]
pub(crate) struct CreateTable {
    target: Target,
    schema: SchemaRef,
    keys: Vec<KeySpec>,
    /// `None`: the table starts empty.
    rows: Option<Input>,
    if_not_exists: bool,
    or_replace: bool,
}

#[derive(Debug, Clone)]
enum Target {
    Dataset(TableName),
    Temporary(String),
}

/// Checks and plans the statement.
pub(crate) async fn plan(scope: &Scope, mut create: Ast) -> Result<Update> {
    if create.table_options != CreateTableOptions::None {
        return Err(Error::unsupported("CREATE TABLE ... WITH", "leave the options out"));
    }
    if let Some(column) = create.columns.iter().find(|column| is_generated(&column.options)) {
        return Err(Error::unsupported(
            format!("a generated column ({})", column.name),
            "give the value in every INSERT",
        ));
    }
    let temporary = std::mem::take(&mut create.temporary);
    let keys = take_keys(scope, &mut create)?;
    let not_null: HashSet<String> =
        create.columns.iter().filter(|c| is_not_null(&c.options)).map(|c| normal(&c.name, scope)).collect();
    let has_query = create.query.is_some();
    let planned = scope.plan(DfStatement::Statement(Box::new(Statement::CreateTable(create)))).await?;
    let LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(planned)) = planned else {
        return Err(Error::Invalid("CREATE TABLE could not be planned".to_owned()));
    };
    if planned.if_not_exists && planned.or_replace {
        return Err(Error::Invalid("OR REPLACE and IF NOT EXISTS exclude each other".to_owned()));
    }
    let columns = with_nullability(planned.input.schema().as_arrow(), has_query, &not_null);
    let target = target(scope, &planned.name, temporary)?;
    if matches!(target, Target::Temporary(_)) && !(keys.is_empty() && planned.column_defaults.is_empty()) {
        return Err(Error::unsupported("keys and defaults of a temporary table", "leave them out"));
    }
    let schema = with_defaults(scope, conform::stored_schema(&columns)?, &planned.column_defaults)?;
    Ok(Update::CreateTable(CreateTable {
        target,
        schema,
        keys,
        rows: match has_query {
            true => Some(Input::new(scope.core(), planned.input.as_ref().clone())?),
            false => None,
        },
        if_not_exists: planned.if_not_exists,
        or_replace: planned.or_replace,
    }))
}

fn is_generated(options: &[datafusion::sql::sqlparser::ast::ColumnOptionDef]) -> bool {
    options.iter().any(|option| matches!(option.option, ColumnOption::Generated { .. }))
}

/// Takes the keys out of the statement.
fn take_keys(scope: &Scope, create: &mut Ast) -> Result<Vec<KeySpec>> {
    let mut keys = Vec::new();
    for column in &mut create.columns {
        keys.extend(keys::of_column(scope, column)?);
    }
    for constraint in std::mem::take(&mut create.constraints) {
        keys.push(keys::of_table(scope, &constraint)?);
    }
    Ok(keys)
}

/// The columns with their defaults noted.
fn with_defaults(scope: &Scope, schema: SchemaRef, defaults: &[(String, Expr)]) -> Result<SchemaRef> {
    if defaults.is_empty() {
        return Ok(schema);
    }
    let mut fields = schema.fields().to_vec();
    for (column, default) in defaults {
        let Some(field) = fields.iter_mut().find(|field| field.name() == column) else { continue };
        let value = constant(scope, column, default.clone())?;
        let default = default_text(&value, column, field.data_type())?;
        *field = Arc::new(with_column_notes(field, &ColumnNotes { default, ..ColumnNotes::default() }));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// What becomes of a table that exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfExists {
    Fail,
    Keep,
    Replace,
}

/// A table of a query's rows, in columns of the given types.
pub(crate) fn of_rows(
    scope: &Scope,
    name: &TableReference,
    rows: LogicalPlan,
    columns: &Schema,
    if_exists: IfExists,
) -> Result<Update> {
    let value = |(index, field): (usize, &Arc<Field>)| {
        let value = Expr::Column(Column::from(rows.schema().qualified_field(index)));
        Ok(value.cast_to(field.data_type(), rows.schema())?.alias(field.name()))
    };
    let values = columns.fields().iter().enumerate().map(value).collect::<Result<Vec<_>>>()?;
    let rows = LogicalPlanBuilder::from(rows).project(values)?.build()?;
    Ok(Update::CreateTable(CreateTable {
        target: target(scope, name, false)?,
        schema: conform::stored_schema(columns)?,
        keys: Vec::new(),
        rows: Some(Input::new(scope.core(), rows)?),
        if_not_exists: if_exists == IfExists::Keep,
        or_replace: if_exists == IfExists::Replace,
    }))
}

fn is_not_null(options: &[datafusion::sql::sqlparser::ast::ColumnOptionDef]) -> bool {
    options.iter().any(|option| matches!(option.option, ColumnOption::NotNull))
}

fn normal(name: &Ident, scope: &Scope) -> String {
    match name.quote_style {
        None if scope.core().state.config_options().sql_parser.enable_ident_normalization => name.value.to_lowercase(),
        _ => name.value.clone(),
    }
}

/// A query's columns may be null unless the statement declares otherwise: that this query happens to give no nulls says
/// nothing about the rows that are inserted later.
fn with_nullability(columns: &Schema, of_query: bool, not_null: &HashSet<String>) -> Schema {
    if !of_query {
        return columns.clone();
    }
    let field = |field: &Arc<Field>| field.as_ref().clone().with_nullable(!not_null.contains(field.name()));
    Schema::new(columns.fields().iter().map(field).collect::<Vec<_>>())
}

fn target(scope: &Scope, name: &TableReference, temporary: bool) -> Result<Target> {
    if temporary || name.schema() == Some(TEMP_SCHEMA) {
        if name.schema().is_some_and(|schema| schema != TEMP_SCHEMA) {
            return Err(Error::Invalid(format!(
                "a temporary table is in schema '{TEMP_SCHEMA}'; leave the schema out"
            )));
        }
        return Ok(Target::Temporary(name.table().to_owned()));
    }
    let name = scope.table_name(name)?;
    name.check_creatable()?;
    Ok(Target::Dataset(name))
}

impl CreateTable {
    pub(super) fn input(&self) -> Option<&Input> {
        self.rows.as_ref()
    }

    pub(super) fn input_mut(&mut self) -> Option<&mut Input> {
        self.rows.as_mut()
    }

    pub(super) async fn run(&self, running: &Running<'_>) -> Result<UpdateCount> {
        match &self.target {
            Target::Dataset(name) => self.dataset(running, name).await,
            Target::Temporary(name) => self.temporary(running, name).await,
        }
    }

    async fn dataset(&self, running: &Running<'_>, name: &TableName) -> Result<UpdateCount> {
        match running.session.catalog().resolve_opt(name).await? {
            Some(_) if self.if_not_exists => Ok(UpdateCount::default()),
            Some(Entry::Dataset(old)) if self.or_replace => self.replace(running, &old).await,
            Some(entry) => {
                let kind = entry.kind().as_str();
                let hint = if self.or_replace { "; drop it first" } else { "" };
                Err(Error::AlreadyExists(format!("{kind} '{name}' exists already{hint}")))
            }
            None => match self.create(running, name).await {
                Err(error) if self.if_not_exists && error.kind() == ErrorKind::AlreadyExists => {
                    Ok(UpdateCount::default())
                }
                outcome => outcome,
            },
        }
    }

    async fn create(&self, running: &Running<'_>, name: &TableName) -> Result<UpdateCount> {
        let (catalog, actor) = (running.session.catalog(), running.session.actor());
        let new = NewDataset {
            name: name.clone(),
            schema: self.declared(running, name, &self.schema).await?,
            bucket: None,
            properties: Default::default(),
        };
        let Some(input) = &self.rows else {
            catalog.create_dataset(new, &actor).await?;
            return Ok(UpdateCount::default());
        };
        // Nobody sees the dataset before its rows are in it; what a failure leaves behind is garbage to be collected.
        let dataset = catalog.stage_dataset(new, &actor).await?;
        let schema = dataset.snapshot(At::Latest).await?.schema.clone();
        let (files, count) = rows::write(running, input, &dataset, schema).await?;
        if !files.is_empty() {
            commit(&dataset, Change::append(files), running).await?;
        }
        catalog.publish_dataset(&dataset, false, &actor).await?;
        Ok(UpdateCount { rows: Some(count) })
    }

    /// The columns with the keys that the statement declares.
    async fn declared(&self, running: &Running<'_>, name: &TableName, schema: &SchemaRef) -> Result<SchemaRef> {
        if self.keys.is_empty() {
            return Ok(schema.clone());
        }
        let keys = keys::resolve(running, name, &[], &self.keys).await?;
        Ok(declare_keys(schema, &keys)?)
    }

    async fn replace(&self, running: &Running<'_>, old: &Dataset) -> Result<UpdateCount> {
        let read = old.snapshot(At::Latest).await?;
        let schema = self.declared(running, old.name(), &old.plan_schema(&self.schema).await?).await?;
        let (added, count) = match &self.rows {
            Some(input) => {
                let (files, count) = rows::write(running, input, old, schema.clone()).await?;
                (files, Some(count))
            }
            None => (Vec::new(), None),
        };
        let change = Change {
            operation: Operation::Replace,
            schema: Some(schema),
            read_version: Some(read.version),
            ..Change::append(added)
        };
        commit(old, change, running).await?;
        Ok(UpdateCount { rows: count })
    }

    async fn temporary(&self, running: &Running<'_>, name: &str) -> Result<UpdateCount> {
        let session = running.session;
        if self.if_not_exists && session.has_temp_table(name) {
            return Ok(UpdateCount::default());
        }
        let mode = if self.or_replace { TempMode::Replace } else { TempMode::Create };
        let batches = match &self.rows {
            Some(input) => rows::collect(running, input, &self.schema).await?,
            None => Vec::new(),
        };
        let count = session.put_temp(name, self.schema.clone(), batches, mode)?;
        Ok(UpdateCount { rows: self.rows.is_some().then_some(count) })
    }
}

/// Commits a change; its files go when it is refused.
pub(super) async fn commit(dataset: &Dataset, change: Change, running: &Running<'_>) -> Result<()> {
    let (files, deletes) = (change.added.clone(), change.deletes.clone());
    match dataset.commit(change, &running.session.actor()).await {
        Ok(_) => Ok(()),
        Err(error) => {
            // After an answer that never came the files may be part of a snapshot.
            if !matches!(error, skein_catalog::Error::CommitUnknown { .. }) {
                remove_files(dataset, &files).await;
                dataset.remove_deletes(&deletes).await;
            }
            Err(error.into())
        }
    }
}
