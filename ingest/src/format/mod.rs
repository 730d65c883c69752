//! One folder per file format. Each reads a file on a blocking thread and emits first its columns, then pieces of
//! work that decode to rows.

mod arrow_ipc;
mod csv;
mod json;
mod parquet;

use std::io::{self, Read};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use tokio::sync::mpsc;

use crate::{
    Error, FileFormat, FileOptions, OnBadRow, Reject, Result,
    decompress::decompress,
    detect::{HEAD_BYTES, detect},
    peek::Peek,
};

/// A file to be read.
pub(crate) struct Source {
    /// Its name, for messages.
    pub(crate) file: String,
    /// How the caller wants it read.
    pub(crate) options: FileOptions,
    /// The columns of the table that its rows are appended to.
    pub(crate) known: Option<SchemaRef>,
}

/// A row that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejected {
    pub(crate) reject: Reject,
    /// Its text as it stands in the file.
    pub(crate) record: Vec<u8>,
}

/// Some rows.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) rejects: Vec<Rejected>,
}

impl Decoded {
    fn batch(batch: RecordBatch) -> Self {
        Self { batches: vec![batch], rejects: Vec::new() }
    }
}

/// Something that decodes to some rows, on whichever thread has time.
pub(crate) type Work = Box<dyn FnOnce() -> Result<Decoded> + Send>;

/// What comes from a file: once its columns, then rows.
pub(crate) enum Event {
    Schema(SchemaRef),
    Work(Work),
}

/// Where events go. Waits when nobody has taken the last ones.
pub(crate) struct Emitter(mpsc::Sender<Event>);

impl Emitter {
    pub(crate) fn new(sender: mpsc::Sender<Event>) -> Self {
        Self(sender)
    }

    fn schema(&self, schema: SchemaRef) -> Result<()> {
        self.0.blocking_send(Event::Schema(schema)).map_err(|_| Error::Cancelled)
    }

    fn work(&self, work: impl FnOnce() -> Result<Decoded> + Send + 'static) -> Result<()> {
        self.0.blocking_send(Event::Work(Box::new(work))).map_err(|_| Error::Cancelled)
    }

    fn batch(&self, batch: RecordBatch) -> Result<()> {
        self.work(move || Ok(Decoded::batch(batch)))
    }
}

/// What every format reads from: plain bytes.
type Plain = Peek<Box<dyn Read + Send>>;

/// Reads a file to its end. Blocks.
///
/// # Errors
/// When the file cannot be read, or nobody takes what comes from it.
pub(crate) fn run(body: impl Read + Send + 'static, source: Source, out: &Emitter) -> Result<()> {
    let compression = source.options.compression;
    let mut plain: Plain = Peek::new(decompress(Peek::new(body), compression, &source.file)?);
    let head = plain.peek(HEAD_BYTES).map_err(|error| Error::from_io(&source.file, error))?;
    let found = detect(head, &source.file);
    let format = match source.options.format {
        // A name for text can be wrong about the dialect; a name for a binary format is checked by its reader.
        Some(format) if !head.is_empty() => format,
        _ => found?,
    };
    match format {
        FileFormat::Csv | FileFormat::Tsv => csv::run(plain, &source, format == FileFormat::Tsv, out),
        FileFormat::Json => json::run(plain, &source, out),
        FileFormat::Arrow => {
            no_text_options(&source, "Arrow")?;
            arrow_ipc::run(plain, &source, out)
        }
        FileFormat::Parquet => {
            no_text_options(&source, "Parquet")?;
            parquet::run(plain, &source, out)
        }
    }
}

/// Files that carry their own types are not read in others.
fn no_text_options(source: &Source, format: &str) -> Result<()> {
    match source.options.schema_overrides.first() {
        None => Ok(()),
        Some((column, _)) => Err(Error::option(
            "schema_overrides",
            format!("column '{column}' of a {format} file has a type of its own; leave the option out"),
        )),
    }
}

/// The types that the caller declared, by column name.
///
/// # Errors
/// For a type nobody knows and a column that is declared twice.
fn declared_types(source: &Source) -> Result<Vec<(String, arrow::datatypes::DataType)>> {
    let mut declared: Vec<(String, arrow::datatypes::DataType)> = Vec::new();
    for (column, name) in &source.options.schema_overrides {
        let data_type = crate::type_name::parse(name)
            .map_err(|why| Error::option("schema_overrides", format!("column '{column}': {why}")))?;
        if declared.iter().any(|(other, _)| other == column) {
            return Err(Error::option("schema_overrides", format!("column '{column}' is declared twice")));
        }
        declared.push((column.clone(), data_type));
    }
    Ok(declared)
}

/// A row that cannot be read: an error, or a reject if the caller wants to go on.
fn refuse(file: &str, on_bad_row: OnBadRow, row: Rejected, rejects: &mut Vec<Rejected>) -> Result<()> {
    match on_bad_row {
        OnBadRow::Fail => Err(Error::bad_row(file, row.reject)),
        OnBadRow::Skip => {
            rejects.push(row);
            Ok(())
        }
    }
}

/// Reads on to the end, so that damage behind the data is noticed, and says whether anything was there.
fn drain(reader: &mut impl Read, file: &str) -> Result<u64> {
    io::copy(reader, &mut io::sink()).map_err(|error| Error::from_io(file, error))
}
