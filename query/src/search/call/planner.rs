//! Plans `FROM vector_search(docs, $1, k => 10)`.

use std::{fmt, sync::Arc};

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::{
    common::{DFSchema, TableReference},
    datasource::source_as_provider,
    error::Result as DfResult,
    logical_expr::{
        Expr, Extension, LogicalPlan, LogicalPlanBuilder,
        expr::Placeholder,
        planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning},
    },
    sql::sqlparser::ast::{Expr as SqlExpr, FunctionArg, FunctionArgExpr, TableFactor},
};

use super::{Function, node::SearchCall};
use crate::{Error, Result, scan::SnapshotTable, sql, suggest};

/// Plans the functions that search.
#[derive(Clone, Copy)]
pub(crate) struct SearchPlanner {
    /// Whether names become lower-case.
    pub(crate) normalise: bool,
}

impl fmt::Debug for SearchPlanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SearchPlanner")
    }
}

impl RelationPlanner for SearchPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> DfResult<RelationPlanning> {
        let (name, args, alias) = match &relation {
            TableFactor::Table { name, args: Some(args), alias, .. } => (name, &args.args, alias),
            TableFactor::Function { name, args, alias, .. } => (name, args, alias),
            _ => return Ok(RelationPlanning::Original(Box::new(relation))),
        };
        let Some(function) = Function::of(&name.to_string()) else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let plan = self.plan(function, args, context)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))))
    }
}

impl SearchPlanner {
    fn plan(
        self,
        function: Function,
        args: &[FunctionArg],
        context: &mut dyn RelationPlannerContext,
    ) -> DfResult<LogicalPlan> {
        let usage =
            || Error::Invalid(format!("{function} takes a dataset first, such as {function}(docs, $1, k => 10)"));
        let first = args.first().ok_or_else(usage)?;
        let reference = sql::searched_table(first, self.normalise).ok_or_else(usage)?;
        let source = context.context_provider().get_table_source(reference.clone())?;
        let provider = source_as_provider(&source).map_err(|_| no_dataset(function, &reference))?;
        let table = provider.downcast_ref::<SnapshotTable>().ok_or_else(|| no_dataset(function, &reference))?.clone();
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for (position, arg) in args.iter().skip(1).enumerate() {
            let (name, value) = argument(function, position, arg)?;
            if names.contains(&name) {
                return Err(Error::Invalid(format!("{function} was given '{name}' twice")).into());
            }
            let value = context.sql_to_expr(value.clone(), &DFSchema::empty())?;
            values.push(typed(name, value, function));
            names.push(name);
        }
        if !names.contains(&"query") {
            return Err(Error::Invalid(format!("{function} was not told what to look for; {}", usage())).into());
        }
        let schema = schema(function, &table)?;
        let node = SearchCall { function, table, names: names.into(), values, schema: Arc::new(schema) };
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        LogicalPlanBuilder::from(plan).alias(reference)?.build()
    }
}

fn no_dataset(function: Function, reference: &TableReference) -> Error {
    Error::Invalid(format!(
        "'{reference}' is no dataset; {function} searches datasets, and CREATE TABLE ... AS SELECT makes one"
    ))
}

/// The name and the value of an argument that comes after the table.
fn argument(function: Function, position: usize, arg: &FunctionArg) -> Result<(&'static str, &SqlExpr)> {
    let (name, value) = match arg {
        FunctionArg::Unnamed(value) => (None, value),
        FunctionArg::Named { name, arg, .. } => (Some(name.value.clone()), arg),
        FunctionArg::ExprNamed { name, arg, .. } => (Some(name.to_string()), arg),
    };
    let FunctionArgExpr::Expr(value) = value else {
        return Err(Error::Invalid(format!("{function} takes no *")));
    };
    let known = function.arguments();
    let name = match name {
        Some(name) => {
            let lower = name.to_ascii_lowercase();
            *known.iter().find(|known| **known == lower).ok_or_else(|| {
                let near = suggest::closest(&lower, known.iter().copied());
                let advice = near.map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
                let all = known.join(", ");
                Error::Invalid(format!("'{name}' is no argument of {function}{advice} (it takes {all})"))
            })?
        }
        None => *["query", "k"].get(position).ok_or_else(|| {
            Error::Invalid(format!(
                "{function} takes the dataset, the query and k by their places, and all else by name, such as filter => 'year > 2020'"
            ))
        })?,
    };
    Ok((name, value))
}

/// A parameter gets the type that the argument has, where there is only one.
fn typed(name: &str, value: Expr, function: Function) -> Expr {
    let Expr::Placeholder(Placeholder { id, field: None }) = &value else { return value };
    let data_type = match name {
        "k" | "ef" | "nprobe" | "refine" | "candidates" | "rrf_k" | "fuzzy" => DataType::Int64,
        "weight" | "max_distance" => DataType::Float64,
        "exact" => DataType::Boolean,
        "query" if function == Function::Vector => return value,
        "vector" => return value,
        _ => DataType::Utf8,
    };
    let field: FieldRef = Arc::new(Field::new(id, data_type, true));
    Expr::Placeholder(Placeholder { id: id.clone(), field: Some(field) })
}

fn schema(function: Function, table: &SnapshotTable) -> DfResult<DFSchema> {
    let own = function.columns();
    for field in &own {
        if table.columns().column_with_name(field.name()).is_some() {
            let name = field.name();
            return Err(Error::Invalid(format!(
                "'{}' has a column '{name}', which is what {function} calls a column of its own; rename that one",
                table.dataset().name()
            ))
            .into());
        }
    }
    let of_table = table.columns().fields().iter().map(Arc::clone);
    let all = of_table.chain(own.into_iter().map(Arc::new)).map(|field| (None, field));
    DFSchema::new_with_metadata(all.collect(), Default::default())
}
