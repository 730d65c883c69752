//! The rows of a dataset that a statement changes or deletes: finding them, and committing what becomes of them.

use std::{collections::HashMap, sync::Arc};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::UInt32Type;
use datafusion::{
    common::{
        Column, TableReference,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    datasource::{provider_as_source, source_as_provider},
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableScan},
    sql::{
        parser::Statement as DfStatement,
        sqlparser::ast::{Expr as SqlExpr, SelectItem, SetExpr, Statement, TableWithJoins},
    },
};
use futures::{StreamExt, stream};
use skein_catalog::{At, Change, DataFile, Dataset, Entry, FileDeletes, Operation, Removed, RowSet};
use skein_model::{DatasetId, ErrorKind, Kind, TableName, Version};

use super::{Input, Running, create_table::commit};
use crate::{
    Error, Result, Session,
    names::Scope,
    scan::{FILE, PositionedTable, ROW, SnapshotTable},
    sql,
};

/// How often a statement is run when others change the same files meanwhile.
const ATTEMPTS: u32 = 10;
/// Deletion vectors written at a time.
const PARALLEL: usize = 8;

/// The dataset a statement changes.
pub(super) async fn target(scope: &Scope, reference: &TableReference, verb: &'static str) -> Result<TableName> {
    if scope.temp_name(reference).is_some() {
        return Err(Error::unsupported(
            format!("{verb} of a temporary table"),
            "use CREATE OR REPLACE TEMPORARY TABLE ... AS SELECT",
        ));
    }
    let name = scope.table_name(reference)?;
    name.check_creatable()?;
    dataset(scope.session(), &name, verb).await?;
    Ok(name)
}

/// That dataset, as it is now.
pub(super) async fn dataset(session: &Session, name: &TableName, verb: &str) -> Result<Dataset> {
    match session.catalog().resolve(name).await? {
        Entry::Dataset(dataset) => Ok(dataset),
        Entry::View(_) => Err(Error::Invalid(format!("'{name}' is a view; {verb} needs a dataset"))),
        Entry::External(_) => Err(Error::Invalid(format!(
            "'{name}' is an external table and read-only; CREATE TABLE ... AS SELECT makes a dataset of it"
        ))),
    }
}

/// `SELECT ... FROM ... WHERE ...`; `items`: everything when `None`.
pub(super) fn query(
    from: Vec<TableWithJoins>,
    condition: Option<SqlExpr>,
    items: Option<Vec<SelectItem>>,
) -> Result<DfStatement> {
    let mut query = sql::parse("SELECT * FROM t")?;
    if let DfStatement::Statement(statement) = &mut query
        && let Statement::Query(query) = statement.as_mut()
        && let SetExpr::Select(select) = query.body.as_mut()
    {
        (select.from, select.selection) = (from, condition);
        if let Some(items) = items {
            select.projection = items;
        }
    }
    Ok(query)
}

/// A plan that reads one dataset, with the places of its rows. Subqueries stay as they are.
pub(super) fn with_positions(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up(|node| match node {
        LogicalPlan::TableScan(scan) => {
            let table = source_as_provider(&scan.source)?;
            let Some(table) = table.downcast_ref::<SnapshotTable>() else {
                return Err(Error::Invalid(format!("'{}' is not a dataset", scan.table_name)).into());
            };
            let source = provider_as_source(Arc::new(PositionedTable::new(table.clone())));
            Ok(Transformed::yes(LogicalPlanBuilder::scan(scan.table_name, source, None)?.build()?))
        }
        other => Ok(Transformed::yes(other.recompute_schema()?)),
    })?;
    Ok(rewritten.data)
}

/// The two columns that say where a row is. They are the last ones of what [`Found::take`] gets.
pub(super) fn position() -> [Expr; 2] {
    [FILE, ROW].map(|name| Expr::Column(Column::new_unqualified(name)))
}

/// A statement's query over the newest versions of the datasets it reads.
pub(super) struct Fresh {
    pub(super) input: Input,
    /// The version of the target that it reads.
    pub(super) version: Version,
    records: Arc<[Arc<DataFile>]>,
}

impl Fresh {
    /// Reads what is named with a version at that version, everything else at its newest.
    pub(super) async fn new(running: &Running<'_>, input: &Input) -> Result<Self> {
        let mut tables = HashMap::new();
        input.logical().apply_with_subqueries(|node| {
            if let Some((table, _)) = snapshot_table(node)? {
                tables.insert(table.dataset().id(), table.dataset().clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        let mut newest = HashMap::new();
        for (id, dataset) in tables {
            let snapshot = dataset.snapshot(At::Latest).await?;
            let table = SnapshotTable::new(dataset, &snapshot, running.session.engine().snapshots())?;
            newest.insert(id, table);
        }
        let logical = input.logical().clone().transform_down_with_subqueries(|node| replace(node, &newest))?.data;
        let mut target = None;
        logical.apply(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && let Some(table) = source_as_provider(&scan.source)?.downcast_ref::<PositionedTable>()
            {
                target = Some((table.table().version(), Arc::clone(table.records())));
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        let (version, records) = target.ok_or_else(|| Error::Invalid("the statement has no target".to_owned()))?;
        Ok(Self { input: Input(logical), version, records })
    }

    pub(super) fn found(&self) -> Found {
        Found {
            records: Arc::clone(&self.records),
            rows: vec![RowSet::new(); self.records.len()],
            version: self.version,
        }
    }
}

/// The snapshot a node scans, unless the statement asked for its version; and whether it is the statement's target.
fn snapshot_table(node: &LogicalPlan) -> datafusion::error::Result<Option<(SnapshotTable, bool)>> {
    let LogicalPlan::TableScan(scan) = node else { return Ok(None) };
    let provider = source_as_provider(&scan.source)?;
    let found = match provider.downcast_ref::<PositionedTable>() {
        Some(target) => Some((target.table().clone(), true)),
        None => provider.downcast_ref::<SnapshotTable>().map(|table| (table.clone(), false)),
    };
    Ok(found.filter(|(table, _)| !table.is_fixed()))
}

fn replace(
    node: LogicalPlan,
    newest: &HashMap<DatasetId, SnapshotTable>,
) -> datafusion::error::Result<Transformed<LogicalPlan>> {
    let Some((old, is_target)) = snapshot_table(&node)? else { return Ok(Transformed::no(node)) };
    let (LogicalPlan::TableScan(scan), Some(new)) = (&node, newest.get(&old.dataset().id())) else {
        return Ok(Transformed::no(node));
    };
    if new.version() == old.version() {
        return Ok(Transformed::no(node));
    }
    if new.columns() != old.columns() {
        return Err(Error::Invalid(format!(
            "the columns of '{}' changed since the statement was prepared; prepare it again",
            new.dataset().name()
        ))
        .into());
    }
    let source = match is_target {
        true => provider_as_source(Arc::new(PositionedTable::new(new.clone()))),
        false => provider_as_source(Arc::new(new.clone())),
    };
    Ok(Transformed::yes(LogicalPlan::TableScan(TableScan { source, ..scan.clone() })))
}

/// Rows that were found, by file.
pub(super) struct Found {
    records: Arc<[Arc<DataFile>]>,
    rows: Vec<RowSet>,
    version: Version,
}

impl Found {
    /// Notes the rows that the two columns point to.
    pub(super) fn take(&mut self, files: &ArrayRef, rows: &ArrayRef) -> Result<()> {
        let lost =
            || Error::Invalid("the places of the rows were lost on the way; this is a defect of the server".to_owned());
        let files = files.as_primitive_opt::<UInt32Type>().ok_or_else(lost)?;
        let rows = rows.as_primitive_opt::<UInt32Type>().ok_or_else(lost)?;
        if files.null_count() + rows.null_count() > 0 {
            return Err(lost());
        }
        for (file, row) in files.values().iter().zip(rows.values()) {
            let set = usize::try_from(*file).ok().and_then(|file| self.rows.get_mut(file)).ok_or_else(lost)?;
            set.insert(*row);
        }
        Ok(())
    }

    /// How many rows there are.
    pub(super) fn count(&self) -> u64 {
        self.rows.iter().map(RowSet::len).sum()
    }

    /// Commits that these rows leave and those of `added` join. A refusal leaves nothing behind.
    pub(super) async fn commit(
        self,
        running: &Running<'_>,
        dataset: &Dataset,
        operation: Operation,
        added: Vec<DataFile>,
    ) -> Result<()> {
        let mut change = Change { operation, added, read_version: Some(self.version), ..Change::append(Vec::new()) };
        let mut partly = Vec::new();
        for (file, rows) in self.records.iter().zip(self.rows).filter(|(_, rows)| !rows.is_empty()) {
            if rows.len() == file.live_rows() {
                change.removed.push(Removed::from(file.as_ref()));
            } else {
                partly.push((Arc::clone(file), rows));
            }
        }
        let written: Vec<Result<FileDeletes>> = stream::iter(partly)
            .map(|(file, rows)| async move {
                let former = dataset.read_deletes(&file).await?;
                Ok(dataset.write_deletes(&file, &former, &rows).await?)
            })
            .buffer_unordered(PARALLEL)
            .collect()
            .await;
        let mut failure = None;
        for outcome in written {
            match outcome {
                Ok(deletes) => change.deletes.push(deletes),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            None => commit(dataset, change, running).await,
            Some(error) => {
                skein_catalog::writer::remove_files(dataset, &change.added).await;
                dataset.remove_deletes(&change.deletes).await;
                Err(error)
            }
        }
    }
}

/// Removes all rows that a dataset has now; their number.
pub(super) async fn remove_all(running: &Running<'_>, dataset: &Dataset, operation: Operation) -> Result<u64> {
    let snapshot = dataset.snapshot(At::Latest).await?;
    if snapshot.files.is_empty() {
        return Ok(0);
    }
    let removed = snapshot.files.iter().map(|file| Removed::from(file.as_ref())).collect();
    let read_version = Some(snapshot.version);
    let change = Change { operation, removed, read_version, ..Change::append(Vec::new()) };
    commit(dataset, change, running).await?;
    Ok(snapshot.rows)
}

/// Runs a change again when somebody else has changed the same files meanwhile.
pub(super) async fn until_settled<T, F: Future<Output = Result<T>>>(mut once: impl FnMut() -> F) -> Result<T> {
    for _ in 1..ATTEMPTS {
        match once().await {
            Err(error) if error.kind() == ErrorKind::Conflict => {
                tracing::debug!(%error, "the statement is run again");
            }
            outcome => return outcome,
        }
    }
    once().await
}
