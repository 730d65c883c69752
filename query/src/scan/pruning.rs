//! Which files of a snapshot can hold rows that a filter lets through, by their statistics alone.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{ArrayRef, BooleanArray, UInt64Array},
    datatypes::SchemaRef,
};
use datafusion::{
    catalog::Session,
    common::{Column, ColumnStatistics, Statistics, ToDFSchema, pruning::PruningStatistics},
    datasource::listing::PartitionedFile,
    error::Result as DfResult,
    logical_expr::{Expr, utils::split_conjunction},
    physical_optimizer::pruning::PruningPredicate,
    scalar::ScalarValue,
};

/// The files that may match all of `filters`. A filter that the statistics cannot be asked about excludes no file.
pub(super) fn prune(
    files: &[PartitionedFile],
    schema: &SchemaRef,
    filters: &[Expr],
    state: &dyn Session,
) -> DfResult<Vec<PartitionedFile>> {
    let statistics: Vec<_> = files.iter().map(|file| file.statistics.clone()).collect();
    let keep = may_match(&statistics, schema, filters, state)?;
    Ok(files.iter().zip(keep).filter(|(_, keep)| *keep).map(|(file, _)| file.clone()).collect())
}

/// Which of several parts of a table, known by their statistics, may hold rows that match all of `filters`.
pub(super) fn may_match(
    parts: &[Option<Arc<Statistics>>],
    schema: &SchemaRef,
    filters: &[Expr],
    state: &dyn Session,
) -> DfResult<Vec<bool>> {
    let bounds = Bounds { parts, schema };
    let mut keep = vec![true; parts.len()];
    for predicate in predicates(schema, filters, state)? {
        match predicate.prune(&bounds) {
            Ok(may_match) => keep.iter_mut().zip(may_match).for_each(|(keep, may)| *keep &= may),
            // DataFusion asks about `LIKE 'x%'` with a string of another type than a column of string views.
            Err(error) => tracing::debug!(%error, "a filter cannot be asked of file statistics"),
        }
    }
    Ok(keep)
}

/// What can be asked of statistics, for each condition that can.
pub(super) fn predicates(schema: &SchemaRef, filters: &[Expr], state: &dyn Session) -> DfResult<Vec<PruningPredicate>> {
    let df_schema = schema.clone().to_dfschema()?;
    let mut predicates = Vec::new();
    for filter in filters.iter().flat_map(split_conjunction) {
        let predicate = state.create_physical_expr(filter.clone(), &df_schema)?;
        let predicate = PruningPredicate::try_new(predicate, schema.clone())?;
        if !predicate.always_true() {
            predicates.push(predicate);
        }
    }
    Ok(predicates)
}

/// The statistics of parts as the predicate wants them. Truncated bounds are bounds, too.
struct Bounds<'a> {
    parts: &'a [Option<Arc<Statistics>>],
    schema: &'a SchemaRef,
}

impl Bounds<'_> {
    fn columns(&self, column: &Column) -> Option<impl Iterator<Item = Option<&ColumnStatistics>>> {
        let index = self.schema.index_of(column.name()).ok()?;
        Some(self.parts.iter().map(move |part| part.as_ref()?.column_statistics.get(index)))
    }

    fn bounds(&self, column: &Column, bound: fn(&ColumnStatistics) -> Option<&ScalarValue>) -> Option<ArrayRef> {
        let data_type = self.schema.field_with_name(column.name()).ok()?.data_type();
        let null = ScalarValue::try_from(data_type).ok()?;
        let values = self.columns(column)?.map(|stats| stats.and_then(bound).unwrap_or(&null).clone());
        ScalarValue::iter_to_array(values).ok()
    }

    fn rows(&self) -> UInt64Array {
        let rows = |part: &Option<Arc<Statistics>>| Some(*part.as_ref()?.num_rows.get_value()? as u64);
        self.parts.iter().map(rows).collect()
    }
}

impl PruningStatistics for Bounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |stats| stats.min_value.get_value())
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |stats| stats.max_value.get_value())
    }

    fn num_containers(&self) -> usize {
        self.parts.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let nulls = |stats: Option<&ColumnStatistics>| Some(*stats?.null_count.get_value()? as u64);
        Some(Arc::new(self.columns(column)?.map(nulls).collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.rows()))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
