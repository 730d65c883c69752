//! `MERGE INTO t USING s ON ... WHEN [NOT] MATCHED [AND ...] THEN ...`.
//!
//! The source is joined with the target on its left, so each of its rows comes with the rows it matches or with nulls. The first
//! clause that fits a row decides what becomes of it.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{Array, AsArray, BooleanArray, RecordBatch},
    compute::{filter, filter_record_batch},
    datatypes::{DataType, Field, FieldRef, Int32Type, SchemaRef},
};
use datafusion::{
    common::{Column, TableReference},
    logical_expr::{Case, Expr, Join, LogicalPlan, LogicalPlanBuilder, cast, expr::Placeholder, lit},
    scalar::ScalarValue,
    sql::{
        planner::object_name_to_table_reference,
        sqlparser::ast::{
            AssignmentTarget, Expr as SqlExpr, Ident, Join as SqlJoin, JoinConstraint, JoinOperator, Merge as Ast,
            MergeAction, MergeClause, MergeClauseKind, MergeInsertKind, SelectItem, TableFactor, TableWithJoins, Value,
        },
    },
};
use futures::StreamExt;
use skein_catalog::{At, Dataset, Operation, writer::DatasetWriter};
use skein_model::TableName;

use super::{
    Input, Running, Update,
    affected::{self, Found, Fresh},
    conform, rows,
};
use crate::{Error, Result, UpdateCount, names::Scope, registry::batch_bytes, scan::ROW, sql};

#[derive(Debug, Clone)]
pub(crate) struct Merge {
    target: TableName,
    /// What each clause does.
    acts: Vec<Act>,
    /// The table's columns for rows that are written, the number of the clause, and the places of old rows.
    pub(super) input: Input,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Update,
    Delete,
    Insert,
}

const VERB: &str = "MERGE";
/// The column that says which clause applies.
const CLAUSE: &str = "__skein_clause";

/// A clause whose expressions are places in a list of expressions.
struct Clause {
    act: Act,
    condition: Option<usize>,
    /// New values by column of the table. Without one a column keeps its value, or is its default in a new row.
    values: Vec<Option<usize>>,
}

/// Checks and plans the statement.
pub(crate) async fn plan(scope: &Scope, merge: Ast) -> Result<Update> {
    if merge.output.is_some() || !merge.optimizer_hints.is_empty() {
        return Err(Error::unsupported("MERGE with OUTPUT or hints", "query the rows afterwards"));
    }
    let TableFactor::Table { name, version: None, args: None, .. } = &merge.table else {
        return Err(Error::Invalid("MERGE needs one table after INTO, without a version".to_owned()));
    };
    let normalise = scope.core().state.config_options().sql_parser.enable_ident_normalization;
    let reference = object_name_to_table_reference(name.clone(), normalise)?;
    let target = affected::target(scope, &reference, VERB).await?;
    let provider = scope.provider(&reference, At::Latest).await?;
    let columns = provider.schema();
    let default = |field: &Arc<Field>| provider.get_column_default(field.name()).cloned();
    let defaults: Vec<_> = columns.fields().iter().map(default).collect();
    let mut expressions = Vec::new();
    let clauses = merge
        .clauses
        .into_iter()
        .map(|clause| read_clause(clause, &columns, normalise, &mut expressions))
        .collect::<Result<Vec<_>>>()?;
    let on = JoinOperator::LeftOuter(JoinConstraint::On(*merge.on));
    let joins = vec![SqlJoin { relation: merge.table, global: false, join_operator: on }];
    let from = vec![TableWithJoins { relation: merge.source, joins }];
    let items = expressions.into_iter().enumerate().map(|(index, expr)| SelectItem::ExprWithAlias {
        expr,
        alias: Ident::with_quote('"', format!("__skein_{index}")),
    });
    let mut items: Vec<_> = items.collect();
    if items.is_empty() {
        items.push(SelectItem::UnnamedExpr(SqlExpr::value(Value::Null)));
    }
    let planned = scope.plan(affected::query(from, None, Some(items))?).await?;
    let LogicalPlan::Projection(planned) = planned else {
        return Err(Error::Invalid("the expressions of MERGE look at one row at a time; use a subquery".to_owned()));
    };
    let expressions: Vec<_> = planned.expr.iter().map(|expr| expr.clone().unalias()).collect();
    let LogicalPlan::Join(join) = planned.input.as_ref() else {
        return Err(Error::Invalid("MERGE could not be planned as a join".to_owned()));
    };
    let acts = clauses.iter().map(|clause| clause.act).collect();
    let rows = rows_of(join, &clauses, &expressions, &columns, &defaults)?;
    Ok(Update::Merge(Merge { target, acts, input: Input::new(scope.core(), rows)? }))
}

fn read_clause(
    clause: MergeClause,
    columns: &SchemaRef,
    normalise: bool,
    expressions: &mut Vec<SqlExpr>,
) -> Result<Clause> {
    let mut place = |expr: SqlExpr| {
        expressions.push(expr);
        expressions.len() - 1
    };
    let index = |name: &str| {
        let found = columns.index_of(name);
        found.map_err(|_| Error::Invalid(format!("column '{name}' does not exist in the target of MERGE")))
    };
    let condition = clause.predicate.map(&mut place);
    let matched = match clause.clause_kind {
        MergeClauseKind::Matched => true,
        MergeClauseKind::NotMatched | MergeClauseKind::NotMatchedByTarget => false,
        MergeClauseKind::NotMatchedBySource => {
            return Err(Error::unsupported("WHEN NOT MATCHED BY SOURCE", "send a DELETE or UPDATE with NOT EXISTS"));
        }
    };
    let mut values = vec![None; columns.fields().len()];
    let mut seen = HashSet::new();
    let mut assign = |name: String, value: usize| -> Result<()> {
        if !seen.insert(name.clone()) {
            return Err(Error::Invalid(format!("column '{name}' is assigned twice")));
        }
        values[index(&name)?] = Some(value);
        Ok(())
    };
    let act = match (clause.action, matched) {
        (MergeAction::Update(update), true) => {
            if update.update_predicate.is_some() || update.delete_predicate.is_some() {
                return Err(Error::unsupported("UPDATE ... WHERE in MERGE", "write WHEN MATCHED AND ..."));
            }
            for assignment in update.assignments {
                let AssignmentTarget::ColumnName(column) = &assignment.target else {
                    return Err(Error::unsupported("SET (a, b) = ...", "assign the columns one by one"));
                };
                assign(sql::parts(column, normalise)?.pop().unwrap_or_default(), place(assignment.value))?;
            }
            Act::Update
        }
        (MergeAction::Delete { .. }, true) => Act::Delete,
        (MergeAction::Insert(insert), false) => {
            let MergeInsertKind::Values(row) = insert.kind else {
                return Err(Error::unsupported("INSERT ROW", "write INSERT VALUES (...)"));
            };
            if insert.insert_predicate.is_some() {
                return Err(Error::unsupported("INSERT ... WHERE in MERGE", "write WHEN NOT MATCHED AND ..."));
            }
            let mut rows = row.rows.into_iter();
            let (Some(row), None) = (rows.next(), rows.next()) else {
                return Err(Error::Invalid("INSERT in MERGE takes one row of values".to_owned()));
            };
            let names = match insert.columns.is_empty() {
                true => columns.fields().iter().map(|field| field.name().clone()).collect(),
                false => {
                    let name = |column| Ok(sql::parts(column, normalise)?.pop().unwrap_or_default());
                    insert.columns.iter().map(name).collect::<Result<Vec<_>>>()?
                }
            };
            if names.len() != row.content.len() {
                return Err(Error::Invalid(format!(
                    "INSERT in MERGE has {} values for {} columns",
                    row.content.len(),
                    names.len()
                )));
            }
            for (name, value) in names.into_iter().zip(row.content) {
                assign(name, place(value))?;
            }
            Act::Insert
        }
        (MergeAction::Insert(_), true) => {
            return Err(Error::Invalid("WHEN MATCHED takes UPDATE or DELETE, not INSERT".to_owned()));
        }
        (MergeAction::Update(_) | MergeAction::Delete { .. }, false) => {
            return Err(Error::Invalid("WHEN NOT MATCHED takes INSERT, not UPDATE or DELETE".to_owned()));
        }
    };
    Ok(Clause { act, condition, values })
}

/// The rows that a clause applies to: see [`Merge::input`].
fn rows_of(
    join: &Join,
    clauses: &[Clause],
    expressions: &[Expr],
    columns: &SchemaRef,
    defaults: &[Option<Expr>],
) -> Result<LogicalPlan> {
    let old: Vec<Expr> = join.right.schema().iter().map(|(qualifier, field)| column(qualifier, field)).collect();
    let right = Arc::new(affected::with_positions(join.right.as_ref().clone())?);
    let joined = LogicalPlan::Join(Join { right, ..join.clone() }).recompute_schema()?;
    let all: Vec<Expr> = joined.schema().iter().map(|(qualifier, field)| column(qualifier, field)).collect();
    let row = || Expr::Column(Column::new_unqualified(ROW));
    let number = |index: usize| i32::try_from(index).map(lit).map_err(|_| too_many());
    let mut when = Vec::new();
    for (index, clause) in clauses.iter().enumerate() {
        let kind = if clause.act == Act::Insert { row().is_null() } else { row().is_not_null() };
        let condition = match clause.condition.and_then(|place| expressions.get(place)) {
            Some(condition) => kind.and(condition.clone()),
            None => kind,
        };
        when.push((Box::new(condition), Box::new(number(index)?)));
    }
    if when.is_empty() {
        return Err(Error::Invalid("MERGE needs at least one WHEN".to_owned()));
    }
    let clause = Expr::Case(Case { expr: None, when_then_expr: when, else_expr: None }).alias(CLAUSE);
    let chosen = || Expr::Column(Column::new_unqualified(CLAUSE));
    let decided =
        LogicalPlanBuilder::from(joined).project(all.into_iter().chain([clause]))?.filter(chosen().is_not_null())?;
    let mut output = Vec::new();
    for (place, (field, old)) in columns.fields().iter().zip(&old).enumerate() {
        let null = lit(ScalarValue::try_new_null(field.data_type())?);
        let mut when = Vec::new();
        for (index, clause) in clauses.iter().enumerate() {
            let value = match (clause.values.get(place).copied().flatten(), clause.act) {
                (Some(value), _) => typed(expressions.get(value).cloned().unwrap_or_else(|| null.clone()), field),
                (None, Act::Update) => old.clone(),
                (None, Act::Insert) => match defaults.get(place).cloned().flatten() {
                    Some(default) => default,
                    None => continue,
                },
                (None, Act::Delete) => continue,
            };
            when.push((Box::new(chosen().eq(number(index)?)), Box::new(value)));
        }
        let value = match when.is_empty() {
            true => null,
            false => Expr::Case(Case { expr: None, when_then_expr: when, else_expr: Some(Box::new(null)) }),
        };
        output.push(value.alias(field.name()));
    }
    output.push(chosen());
    output.extend(affected::position());
    Ok(decided.project(output)?.build()?)
}

fn too_many() -> Error {
    Error::Invalid("MERGE has too many clauses".to_owned())
}

fn column(qualifier: Option<&TableReference>, field: &FieldRef) -> Expr {
    Expr::Column(Column::new(qualifier.cloned(), field.name()))
}

/// A value as the column's type.
fn typed(value: Expr, field: &Field) -> Expr {
    let value = match value {
        Expr::Placeholder(Placeholder { id, field: None }) => {
            Expr::Placeholder(Placeholder { id, field: Some(Arc::new(field.clone())) })
        }
        other => other,
    };
    cast(value, field.data_type().clone())
}

impl Merge {
    pub(super) async fn run(&self, running: &Running<'_>) -> Result<UpdateCount> {
        let dataset = affected::dataset(running.session, &self.target, VERB).await?;
        let count = affected::until_settled(|| self.once(running, &dataset)).await?;
        Ok(UpdateCount { rows: Some(count) })
    }

    async fn once(&self, running: &Running<'_>, dataset: &Dataset) -> Result<u64> {
        let fresh = Fresh::new(running, &self.input).await?;
        let schema = dataset.snapshot(At::Pinned(fresh.version)).await?.schema.clone();
        let mut found = fresh.found();
        let mut writer = DatasetWriter::new(dataset, schema.clone(), running.session.engine().config().writer.clone());
        let count = match self.apply(running, &fresh, &mut found, &mut writer, &schema).await {
            Ok(count) => count,
            Err(error) => {
                writer.abort().await;
                return Err(error);
            }
        };
        let files = writer.finish().await?;
        if count > 0 {
            found.commit(running, dataset, Operation::Merge, files).await?;
        }
        Ok(count)
    }

    async fn apply(
        &self,
        running: &Running<'_>,
        fresh: &Fresh,
        found: &mut Found,
        writer: &mut DatasetWriter,
        schema: &SchemaRef,
    ) -> Result<u64> {
        let width = schema.fields().len();
        let columns: Vec<_> = (0..width).collect();
        let (mut count, mut places) = (0, 0);
        let mut rows = rows::open(running, &fresh.input).await?;
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            count += batch.num_rows() as u64;
            let leaving = self.which(&batch, width, |act| act != Act::Insert)?;
            places += leaving.true_count() as u64;
            found.take(&filter(batch.column(width + 1), &leaving)?, &filter(batch.column(width + 2), &leaving)?)?;
            if found.count() != places {
                return Err(Error::Invalid(
                    "a row of the target matches several rows of the source, so what becomes of it is not defined; make the \
                     rows of the source unique, with GROUP BY or DISTINCT"
                        .to_owned(),
                ));
            }
            let joining = self.which(&batch, width, |act| act != Act::Delete)?;
            let values = filter_record_batch(&batch.project(&columns)?, &joining)?;
            let values = conform::to_stored(&values, schema)?;
            running.run.add(batch.num_rows() as u64, batch_bytes(&values));
            writer.write(values).await?;
        }
        Ok(count)
    }

    /// The rows whose clause does one of these.
    fn which(&self, batch: &RecordBatch, column: usize, wanted: impl Fn(Act) -> bool) -> Result<BooleanArray> {
        let clauses = batch.column(column);
        let clauses = clauses.as_primitive_opt::<Int32Type>().ok_or_else(|| {
            Error::Invalid(format!("{CLAUSE} is of type {}, not {}", clauses.data_type(), DataType::Int32))
        })?;
        let act = |clause: i32| usize::try_from(clause).ok().and_then(|clause| self.acts.get(clause));
        Ok(clauses.values().iter().map(|clause| Some(act(*clause).is_some_and(|act| wanted(*act)))).collect())
    }
}
