//! Delimited text.

mod boundary;
mod cell;
mod decode;
mod dialect;
mod infer;
mod sniff;

use std::{collections::VecDeque, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use self::{boundary::CsvBoundary, decode::CsvPlan, dialect::Dialect, infer::Inference};
use super::{Emitter, Plain, Source, declared_types};
use crate::{
    Error, Result,
    chunk::{Boundary, ChunkLimits, Chunker},
    text::to_utf8,
};

const FIRST_SAMPLE: usize = 64 << 10;
/// Bytes that are enough to find the dialect.
const SNIFFED: usize = 1 << 20;

/// Reads a CSV file to its end.
///
/// # Errors
/// When it cannot be read; in particular [`Error::BadRow`].
pub(super) fn run(plain: Plain, source: &Source, tabs: bool, out: &Emitter) -> Result<()> {
    let options = &source.options;
    let mut text = to_utf8(plain, options.csv.encoding.as_deref(), &source.file)?;
    let sample = sample(&mut text, source, tabs)?;
    let plan = Arc::new(plan(source, &sample)?);
    out.schema(Arc::clone(&plan.schema))?;

    let dialect = plan.dialect;
    let limits = ChunkLimits {
        chunk_bytes: options.limits.chunk_bytes,
        max_record_bytes: options.limits.max_record_bytes,
        newline: dialect.newline,
    };
    let mut chunks = Chunker::new(text, CsvBoundary::new(&dialect), &source.file, limits);
    let mut header = dialect.has_header;
    while let Some(mut chunk) = chunks.next()? {
        if header {
            header = !dialect.skip_first_record(&mut chunk);
        }
        let plan = Arc::clone(&plan);
        out.work(move || plan.decode(&chunk))?;
    }
    Ok(())
}

/// The beginning of the text, cut after its last whole record.
struct Sample {
    text: Vec<u8>,
    dialect: Dialect,
}

/// Enough text for `sample_rows` rows, bounded by bytes, but always one whole record if there is one.
fn sample(text: &mut Plain, source: &Source, tabs: bool) -> Result<Sample> {
    let limits = &source.options.limits;
    let mut wanted = FIRST_SAMPLE.min(limits.sample_bytes);
    loop {
        let head = text.peek(wanted).map_err(|error| Error::from_io(&source.file, error))?;
        let whole = head.len() < wanted;
        let rows = memchr::memchr2_iter(b'\n', b'\r', head).count();
        let enough = rows > source.options.sample_rows || wanted >= limits.sample_bytes;
        if !whole && !enough {
            wanted = (wanted * 2).min(limits.sample_bytes);
            continue;
        }
        let known = source.known.as_deref();
        let part = head.get(..head.len().min(SNIFFED)).unwrap_or_default();
        let dialect = sniff::sniff(part, whole && part.len() == head.len(), &source.options.csv, tabs, known)?;
        let end = if whole { head.len() } else { last_record_end(head, &dialect) };
        let records = dialect.reader(head.get(..end).unwrap_or_default()).into_byte_records().take(2).count();
        if whole || records == 2 || wanted >= limits.max_record_bytes {
            return Ok(Sample { text: head.get(..end).unwrap_or_default().to_vec(), dialect });
        }
        wanted = (wanted * 2).min(limits.max_record_bytes);
    }
}

fn last_record_end(head: &[u8], dialect: &Dialect) -> usize {
    let mut cuts = VecDeque::new();
    let mut copy = head.to_vec();
    match CsvBoundary::new(dialect).scan(&mut copy, 0, &mut cuts) {
        Ok(()) => cuts.back().copied().unwrap_or(0),
        Err(_) => 0,
    }
}

fn plan(source: &Source, sample: &Sample) -> Result<CsvPlan> {
    let dialect = sample.dialect;
    let names = column_names(source, sample)?;
    let nulls = &source.options.csv.null_values;
    let inferred = Inference::over(&sample.text, &dialect, names.len(), nulls, source.options.sample_rows).data_types();
    let declared = declared_types(source)?;
    if let Some((column, _)) = declared.iter().find(|(column, _)| !names.contains(column)) {
        let columns = names.join(", ");
        return Err(Error::option("schema_overrides", format!("there is no column '{column}'; there are: {columns}")));
    }
    let fields: Vec<Field> = names
        .iter()
        .zip(inferred)
        .map(|(name, inferred)| {
            let declared = declared.iter().find(|(column, _)| column == name).map(|(_, t)| t.clone());
            let known = source.known.as_ref().and_then(|schema| schema.field_with_name(name).ok());
            let data_type = declared.or_else(|| known.map(|field| readable(field.data_type()))).unwrap_or(inferred);
            Field::new(name, data_type, known.is_none_or(Field::is_nullable))
        })
        .collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    crate::reconcile::check_columns(&schema).map_err(|error| Error::file(&source.file, error.to_string()))?;
    CsvPlan::new(&source.file, dialect, schema, nulls, source.options.on_bad_row)
}

/// The type to read text as, where a table's column has `data_type`.
fn readable(data_type: &DataType) -> DataType {
    match data_type {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Dictionary(_, values) => readable(values),
        other if cell::is_readable(other) => other.clone(),
        // Cannot be read from text; the columns are compared later, with a message that names both types.
        _ => DataType::Utf8,
    }
}

fn column_names(source: &Source, sample: &Sample) -> Result<Vec<String>> {
    let given = &source.options.csv.column_names;
    let first = sample.dialect.first_record(&sample.text);
    let Some(first) = first else {
        if given.is_empty() {
            return Err(Error::file(
                &source.file,
                "there is neither a header nor a row in it; there is nothing to read",
            ));
        }
        return Ok(given.clone());
    };
    if !given.is_empty() {
        if given.len() != first.len() {
            let message = format!("{} names are given for {} columns", given.len(), first.len());
            return Err(Error::option("csv.column_names", message));
        }
        return Ok(given.clone());
    }
    if sample.dialect.has_header {
        return first.into_iter().enumerate().map(|(i, name)| header_name(source, i, name)).collect();
    }
    match &source.known {
        // Without names there is only the order to go by.
        Some(table) if table.fields().len() == first.len() => {
            Ok(table.fields().iter().map(|field| field.name().clone()).collect())
        }
        _ => Ok((1..=first.len()).map(|number| format!("column_{number}")).collect()),
    }
}

fn header_name(source: &Source, index: usize, name: Vec<u8>) -> Result<String> {
    String::from_utf8(name).map_err(|_| {
        let number = index + 1;
        Error::file(&source.file, format!("the name of column {number} is not valid UTF-8; name the file's encoding"))
    })
}
