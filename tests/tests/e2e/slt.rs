//! The sqllogictest files of `tests/slt`, through the wire.

use std::path::{Path, PathBuf};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, SchemaRef},
    util::display::{ArrayFormatter, FormatOptions},
};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};
use tonic::Status;

use crate::support::{Client, TestServer};

/// A gRPC error as the files see it: `NotFound: table ...`.
#[derive(Debug, thiserror::Error)]
#[error("{:?}: {}", .0.code(), .0.message())]
struct Failed(Status);

struct Connection(Client);

#[async_trait::async_trait]
impl AsyncDB for Connection {
    type Error = Failed;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Failed> {
        if is_update(sql) {
            let count = self.0.update(sql).await.map_err(Failed)?;
            return Ok(DBOutput::StatementComplete(u64::try_from(count).unwrap_or(0)));
        }
        let info = self.0.plan(sql).await.map_err(Failed)?;
        let schema: SchemaRef = std::sync::Arc::new(info.try_decode_schema().unwrap());
        let batches = self.0.query(sql).await.map_err(Failed)?;
        Ok(DBOutput::Rows { types: types(&schema), rows: batches.iter().flat_map(rows).collect() })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "skein"
    }

    async fn sleep(duration: std::time::Duration) {
        tokio::time::sleep(duration).await;
    }
}

fn is_update(sql: &str) -> bool {
    let first = sql.split_whitespace().next().unwrap_or_default().to_lowercase();
    let words = [
        "create",
        "insert",
        "drop",
        "copy",
        "set",
        "reset",
        "update",
        "delete",
        "alter",
        "merge",
        "truncate",
        "begin",
        "start",
        "commit",
        "rollback",
        "savepoint",
        "release",
    ];
    words.contains(&first.as_str())
}

fn types(schema: &SchemaRef) -> Vec<DefaultColumnType> {
    let kind = |data_type: &DataType| match data_type {
        t if t.is_integer() => DefaultColumnType::Integer,
        t if t.is_floating() => DefaultColumnType::FloatingPoint,
        _ => DefaultColumnType::Text,
    };
    schema.fields().iter().map(|field| kind(field.data_type())).collect()
}

fn rows(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<_> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    let cell = |text: String| if text.is_empty() { "(empty)".to_owned() } else { text };
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|column| cell(column.value(row).to_string())).collect())
        .collect()
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("slt");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "slt"))
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn every_file_holds() {
    let files = files();
    assert!(!files.is_empty());
    let mut faults = Vec::new();
    for file in files {
        let server = TestServer::start().await;
        let client = server.client().await;
        let mut runner = Runner::new(move || {
            let client = client.clone();
            async move { Ok(Connection(client)) }
        });
        runner.set_var("SCRATCH".to_owned(), server.scratch().to_string_lossy().into_owned());
        if let Err(error) = runner.run_file_async(&file).await {
            faults.push(format!("{}: {}", file.display(), error.display(false)));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}
