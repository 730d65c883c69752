//! Results in five formats.

mod arrow_file;
mod csv;
mod json;
mod parquet_file;
mod table;
mod text;

use std::path::Path;

use arrow::array::RecordBatch;
use arrow_schema::SchemaRef;
use clap::ValueEnum;
use futures::TryStreamExt;
use skein_client::ResultStream;

use super::{Exit, Failure, output, output::Out};

pub use table::{Layout, thousands};
pub use text::{texts, type_name};

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For reading: aligned columns and a count.
    Table,
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object a line.
    #[value(alias = "ndjson", alias = "jsonl")]
    Json,
    /// A Parquet file.
    Parquet,
    /// Arrow IPC: a file with --output, a stream on stdout.
    #[value(alias = "ipc", alias = "feather")]
    Arrow,
}

impl Format {
    /// The format that a file's name asks for.
    pub fn of_file(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "json" | "ndjson" | "jsonl" => Some(Self::Json),
            "parquet" | "pq" => Some(Self::Parquet),
            "arrow" | "arrows" | "ipc" | "feather" => Some(Self::Arrow),
            "txt" => Some(Self::Table),
            _ => None,
        }
    }

    /// Whether it is of no use on a terminal, and cannot hold two results.
    pub fn is_binary(self) -> bool {
        matches!(self, Self::Parquet | Self::Arrow)
    }
}

/// Writes one result.
pub trait Sink: Send {
    /// Writes a batch.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure>;
    /// Writes what comes last, and hands back the output.
    fn finish(self: Box<Self>) -> Result<Out, Failure>;
}

/// A sink for a result with this schema.
pub fn sink(format: Format, schema: &SchemaRef, layout: Layout, out: Out) -> Result<Box<dyn Sink>, Failure> {
    if format.is_binary() && matches!(out, Out::Stdout(_)) && output::is_terminal() {
        return Err(
            Failure::usage("binary data on a terminal helps nobody").hint("write it to a file with --output FILE")
        );
    }
    Ok(match format {
        Format::Table => Box::new(table::Table::new(schema, layout, out)),
        Format::Csv => Box::new(csv::Csv::new(schema, out)?),
        Format::Json => Box::new(json::Json::new(out)),
        Format::Parquet => Box::new(parquet_file::Parquet::new(schema, out)?),
        Format::Arrow => arrow_file::new(schema, out)?,
    })
}

/// Writes all of a stream; returns the number of rows.
pub async fn write_stream(
    mut rows: ResultStream,
    format: Format,
    layout: Layout,
    out: Out,
) -> Result<(u64, Out), Failure> {
    let mut sink = sink(format, &rows.schema(), layout, out)?;
    let mut count = 0;
    while let Some(batch) = rows.try_next().await? {
        count += batch.num_rows() as u64;
        // Encoding is work and writing may wait for a slow reader: neither may hold up the connection's tasks.
        tokio::task::block_in_place(|| sink.write(&batch))?;
    }
    let out = tokio::task::block_in_place(|| sink.finish())?;
    Ok((count, out))
}

/// An error of an encoder: the reader that went away is found even where a library wraps it.
fn encoding(error: impl std::error::Error + 'static) -> Failure {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return Failure::from(std::io::Error::new(io.kind(), io.to_string()));
        }
        cause = inner.source();
    }
    let text = error.to_string();
    // arrow-csv turns I/O errors into text.
    if text.contains("Broken pipe") {
        return Failure::silent(Exit::Success);
    }
    Failure::new(Exit::Failed, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, ListArray, StringArray, types::Int64Type};

    fn batch() -> RecordBatch {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let names: ArrayRef = Arc::new(StringArray::from(vec!["a,\"b\"", "ü"]));
        let lists: ArrayRef =
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), Some(2)]), None]));
        RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("name", names, true), ("list", lists, true)])
            .unwrap()
    }

    fn written(format: Format) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let mut sink = sink(format, &batch().schema(), Layout::default(), Out::file(&path).unwrap()).unwrap();
        sink.write(&batch()).unwrap();
        sink.write(&batch()).unwrap();
        sink.finish().unwrap().finish().unwrap();
        std::fs::read(&path).unwrap()
    }

    #[test]
    fn csv_quotes_what_needs_it_and_shows_nested_values_as_json() {
        let text = String::from_utf8(written(Format::Csv)).unwrap();
        assert_eq!(text, "id,name,list\n1,\"a,\"\"b\"\"\",\"[1, 2]\"\n,ü,\n1,\"a,\"\"b\"\"\",\"[1, 2]\"\n,ü,\n");
    }

    #[test]
    fn json_is_one_object_a_line_with_all_its_keys() {
        let text = String::from_utf8(written(Format::Json)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0], r#"{"id":1,"name":"a,\"b\"","list":[1,2]}"#);
        assert_eq!(lines[1], r#"{"id":null,"name":"ü","list":null}"#);
    }

    #[test]
    fn parquet_and_arrow_can_be_read_back() {
        let parquet = bytes::Bytes::from(written(Format::Parquet));
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(parquet, 10).unwrap();
        assert_eq!(reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 4);
        let arrow = std::io::Cursor::new(written(Format::Arrow));
        let reader = arrow_ipc::reader::FileReader::try_new(arrow, None).unwrap();
        assert_eq!(reader.map(|batch| batch.unwrap()).collect::<Vec<_>>(), vec![batch(), batch()]);
    }

    #[test]
    fn a_table_has_a_count() {
        let text = String::from_utf8(written(Format::Table)).unwrap();
        assert!(text.contains("id │ name") && text.trim_end().ends_with("4 rows"), "{text}");
    }

    #[test]
    fn names_of_files_tell_formats() {
        assert_eq!(Format::of_file(Path::new("a/b.PARQUET")), Some(Format::Parquet));
        assert_eq!(Format::of_file(Path::new("b.jsonl")), Some(Format::Json));
        assert_eq!(Format::of_file(Path::new("b")), None);
    }
}
