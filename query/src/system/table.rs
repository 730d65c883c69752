//! A table whose rows are made at the moment of the scan.

use std::{fmt, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
        UInt64Array,
    },
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::{
    catalog::TableProvider,
    datasource::memory::MemorySourceConfig,
    error::Result as DfResult,
    logical_expr::{Expr, TableType},
    physical_plan::ExecutionPlan,
};
use futures::future::BoxFuture;

use crate::{Result, Session};

/// A column's name, type and nullability.
pub(super) type ColumnSpec = (&'static str, Kind, Null);

/// The types the tables use.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    Count,
    Integer,
    Real,
    Flag,
    /// Microseconds, UTC.
    Time,
}

/// Whether a column can hold nulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Null {
    Never,
    Maybe,
}

/// How a table is made.
#[derive(Clone, Copy)]
pub(super) struct Source {
    pub(super) columns: &'static [ColumnSpec],
    /// The columns, in order and of the same length.
    pub(super) read: fn(&Session) -> BoxFuture<'_, Result<Vec<ArrayRef>>>,
}

/// One table of schema `system`.
pub(super) struct SystemTable {
    session: Arc<Session>,
    source: Source,
    schema: SchemaRef,
}

impl SystemTable {
    pub(super) fn new(session: Arc<Session>, source: Source) -> Self {
        let field = |(name, kind, null): &ColumnSpec| Field::new(*name, kind.data_type(), *null == Null::Maybe);
        let schema = Arc::new(Schema::new(source.columns.iter().map(field).collect::<Vec<_>>()));
        Self { session, source, schema }
    }
}

impl fmt::Debug for SystemTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemTable").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl Kind {
    fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Count => DataType::UInt64,
            Self::Integer => DataType::Int64,
            Self::Real => DataType::Float64,
            Self::Flag => DataType::Boolean,
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }
}

#[async_trait]
impl TableProvider for SystemTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn datafusion::catalog::Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let columns = (self.source.read)(&self.session).await?;
        let batch = RecordBatch::try_new(self.schema.clone(), columns)?;
        Ok(MemorySourceConfig::try_new_exec(&[vec![batch]], self.schema.clone(), projection.cloned())?)
    }
}

/// A text column.
pub(super) fn text<T, S: AsRef<str>>(rows: &[T], value: impl Fn(&T) -> S) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(rows.iter().map(value)))
}

/// A text column with nulls.
pub(super) fn text_opt<T, S: AsRef<str>>(rows: &[T], value: impl Fn(&T) -> Option<S>) -> ArrayRef {
    Arc::new(rows.iter().map(value).collect::<StringArray>())
}

/// A column of counts.
pub(super) fn count<T>(rows: &[T], value: impl Fn(&T) -> u64) -> ArrayRef {
    Arc::new(UInt64Array::from_iter_values(rows.iter().map(value)))
}

/// A column of counts with nulls.
pub(super) fn count_opt<T>(rows: &[T], value: impl Fn(&T) -> Option<u64>) -> ArrayRef {
    Arc::new(rows.iter().map(value).collect::<UInt64Array>())
}

/// A column of signed integers with nulls.
pub(super) fn integer_opt<T>(rows: &[T], value: impl Fn(&T) -> Option<i64>) -> ArrayRef {
    Arc::new(rows.iter().map(value).collect::<Int64Array>())
}

/// A column of numbers.
pub(super) fn real<T>(rows: &[T], value: impl Fn(&T) -> f64) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(rows.iter().map(value)))
}

/// A column of flags.
pub(super) fn flag<T>(rows: &[T], value: impl Fn(&T) -> bool) -> ArrayRef {
    Arc::new(rows.iter().map(|row| Some(value(row))).collect::<BooleanArray>())
}

/// A column of times.
pub(super) fn time<T>(rows: &[T], value: impl Fn(&T) -> DateTime<Utc>) -> ArrayRef {
    time_opt(rows, |row| Some(value(row)))
}

/// A column of times with nulls.
pub(super) fn time_opt<T>(rows: &[T], value: impl Fn(&T) -> Option<DateTime<Utc>>) -> ArrayRef {
    let micros = rows.iter().map(|row| value(row).map(|at| at.timestamp_micros()));
    Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}
