//! `information_schema.table_constraints` and `key_column_usage`, which DataFusion does not have: the declared keys.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray, UInt64Array},
    datatypes::{Field, Schema},
};
use datafusion::{catalog::TableProvider, datasource::MemTable};
use skein_model::DEFAULT_CATALOG;

use super::Scope;
use crate::{DeclaredKey, Result, keys::kind_name};

/// One of the two; `None` for any other name.
pub(super) async fn table(scope: &Scope, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
    if !["table_constraints", "key_column_usage"].contains(&name) {
        return Ok(None);
    }
    let keys = scope.session().keys(|_| true).await?;
    let columns = if name == "table_constraints" { constraints(&keys) } else { usage(&keys) };
    let field = |(name, array): &(&str, ArrayRef)| Field::new(*name, array.data_type().clone(), true);
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
    Ok(Some(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?)))
}

type Columns = Vec<(&'static str, ArrayRef)>;

fn constraints(keys: &[DeclaredKey]) -> Columns {
    let all = |text: &str| texts(keys, |_| Some(text.to_owned()));
    let mut columns = named(keys, |key| key);
    columns.push(("constraint_type", texts(keys, |key| Some(kind_name(key.kind).to_owned()))));
    columns.extend([("is_deferrable", all("NO")), ("initially_deferred", all("NO")), ("enforced", all("NO"))]);
    columns
}

fn usage(keys: &[DeclaredKey]) -> Columns {
    let rows: Vec<(&DeclaredKey, usize)> =
        keys.iter().flat_map(|key| (0..key.columns.len()).map(move |place| (key, place))).collect();
    let mut columns = named(&rows, |(key, _)| *key);
    columns.push(("column_name", texts(&rows, |(key, place)| key.columns.get(*place).cloned())));
    let positions = rows.iter().map(|(_, place)| *place as u64 + 1);
    columns.push(("ordinal_position", Arc::new(UInt64Array::from_iter_values(positions))));
    columns
}

/// Where a key is.
fn named<R>(rows: &[R], key: impl Fn(&R) -> &DeclaredKey) -> Columns {
    let catalog = || texts(rows, |_| Some(DEFAULT_CATALOG.to_owned()));
    let schema = || texts(rows, |row| Some(key(row).table.schema().to_owned()));
    vec![
        ("constraint_catalog", catalog()),
        ("constraint_schema", schema()),
        ("constraint_name", texts(rows, |row| Some(key(row).name.clone()))),
        ("table_catalog", catalog()),
        ("table_schema", schema()),
        ("table_name", texts(rows, |row| Some(key(row).table.table().to_owned()))),
    ]
}

fn texts<R>(rows: &[R], text: impl Fn(&R) -> Option<String>) -> ArrayRef {
    Arc::new(rows.iter().map(text).collect::<StringArray>())
}
