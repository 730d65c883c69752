//! What there is to complete: tables and columns, fetched in the background.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::array::{AsArray, RecordBatch};
use arrow_schema::DataType;
use futures::TryStreamExt;
use skein_client::Client;

/// More columns than this are of no use in a completion.
const MOST_COLUMNS: usize = 50_000;

/// The tables of a schema, with their columns.
pub type Tables = BTreeMap<String, Vec<String>>;

/// Tables and columns by schema. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Names(Arc<Mutex<Arc<BTreeMap<String, Tables>>>>);

impl Names {
    /// What is known now.
    pub fn get(&self) -> Arc<BTreeMap<String, Tables>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces what is known.
    pub fn set(&self, names: BTreeMap<String, Tables>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(names);
    }

    /// Asks the server, in the background. If that fails, completion stays as it was.
    pub fn refresh(&self, client: &Client) {
        let (names, client) = (self.clone(), client.clone());
        tokio::spawn(async move {
            if let Ok(found) = fetch(&client).await {
                names.set(found);
            }
        });
    }
}

async fn fetch(client: &Client) -> Result<BTreeMap<String, Tables>, skein_client::Error> {
    let sql = format!(
        "SELECT table_schema, table_name, column_name FROM information_schema.columns ORDER BY 1, 2, ordinal_position LIMIT {MOST_COLUMNS}"
    );
    let mut rows = client.query(sql).await?;
    let mut names: BTreeMap<String, Tables> = BTreeMap::new();
    while let Some(batch) = rows.try_next().await? {
        add(&mut names, &batch)?;
    }
    Ok(names)
}

fn add(names: &mut BTreeMap<String, Tables>, batch: &RecordBatch) -> Result<(), arrow_schema::ArrowError> {
    let text = batch.columns().iter().map(|column| arrow::compute::cast(column, &DataType::Utf8));
    let text = text.collect::<Result<Vec<_>, _>>()?;
    let [schemas, tables, columns] = text.as_slice() else { return Ok(()) };
    let (schemas, tables, columns) =
        (schemas.as_string::<i32>(), tables.as_string::<i32>(), columns.as_string::<i32>());
    for row in 0..batch.num_rows() {
        let schema = names.entry(schemas.value(row).to_owned()).or_default();
        schema.entry(tables.value(row).to_owned()).or_default().push(columns.value(row).to_owned());
    }
    Ok(())
}

/// Whether a statement may change what tables there are.
pub fn changes_names(statement: &str) -> bool {
    let first = statement.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    ["create", "drop", "alter"].contains(&first.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};

    #[test]
    fn columns_are_kept_by_table() {
        let column = |values: [&str; 2]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
        let batch = RecordBatch::try_from_iter([
            ("table_schema", column(["public", "public"])),
            ("table_name", column(["t", "t"])),
            ("column_name", column(["a", "b"])),
        ])
        .unwrap();
        let mut names = BTreeMap::new();
        add(&mut names, &batch).unwrap();
        assert_eq!(names["public"]["t"], ["a", "b"]);
    }

    #[test]
    fn ddl_changes_names() {
        assert!(changes_names("CREATE TABLE x (a int)"));
        assert!(changes_names("drop view v"));
        assert!(!changes_names("SELECT 1"));
    }
}
