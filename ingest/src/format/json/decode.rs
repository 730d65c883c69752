//! Chunks of JSON become batches: whole chunks at once, and record by record only where that fails.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    compute::{CastOptions, cast_with_options, concat_batches},
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
    error::ArrowError,
};
use arrow_json::ReaderBuilder;

use super::{
    boundary::{self, Layout},
    duplicate, explain, flatten,
    schema::{Schemas, ambiguous_record, broken_record},
};
use crate::{
    Error, OnBadRow, Reject, Result,
    chunk::{Chunk, count_lines},
    format::{Decoded, Rejected, Source, refuse},
    report::shorten,
};

/// Everything a thread needs to know to decode a chunk.
#[derive(Debug)]
pub(super) struct JsonPlan {
    file: String,
    layout: Layout,
    on_bad_row: OnBadRow,
    sample_rows: usize,
    /// What the decoder is asked for: integers as text, because it would cut the fraction off 1.5 to make it one.
    decoded: SchemaRef,
    nested: SchemaRef,
    flat: Option<SchemaRef>,
}

/// Where a record stands in its chunk.
#[derive(Debug, Clone, Copy)]
struct Record {
    start: usize,
    end: usize,
    line: u64,
}

impl JsonPlan {
    pub(super) fn new(source: &Source, schemas: Schemas, layout: Layout) -> Self {
        let decoded: Vec<FieldRef> = schemas.nested.fields().iter().map(decodable_field).collect();
        Self {
            file: source.file.clone(),
            layout,
            on_bad_row: source.options.on_bad_row,
            sample_rows: source.options.sample_rows,
            decoded: Arc::new(Schema::new(decoded)),
            nested: schemas.nested,
            flat: schemas.flat,
        }
    }

    /// The columns that come out.
    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(self.flat.as_ref().unwrap_or(&self.nested))
    }

    /// How much memory a record takes even if it is empty, in cells.
    pub(super) fn cells_per_row(&self) -> usize {
        self.nested.flattened_fields().len()
    }

    /// Decodes whole records.
    ///
    /// # Errors
    /// [`Error::BadRow`] for the first record that cannot be read, unless such records are to be skipped.
    pub(super) fn decode(&self, chunk: &Chunk) -> Result<Decoded> {
        if let Ok(batches) = self.fast(&chunk.data)
            && (self.layout != Layout::Lines || rows(&batches) == lines(&chunk.data))
            && duplicate::find(&chunk.data).is_none()
        {
            return Ok(Decoded { batches, rejects: Vec::new() });
        }
        let mut done = Decoded::default();
        self.some(chunk, &self.records(chunk), &mut done)?;
        if done.batches.len() > 1 {
            let whole = concat_batches(&self.schema(), &done.batches);
            done.batches = vec![whole.map_err(|error| Error::Internal(error.to_string()))?];
        }
        Ok(done)
    }

    fn fast(&self, text: &[u8]) -> Result<Vec<RecordBatch>, ArrowError> {
        let mut decoder = ReaderBuilder::new(Arc::clone(&self.decoded))
            .with_batch_size(64)
            .with_coerce_primitive(true)
            .with_strict_mode(true)
            .build_decoder()?;
        let mut batches = Vec::new();
        let mut rest = text;
        loop {
            let read = decoder.decode(rest)?;
            rest = rest.get(read..).unwrap_or_default();
            if rest.is_empty() || read == 0 {
                break;
            }
            if let Some(batch) = decoder.flush()? {
                batches.push(batch);
            }
        }
        batches.extend(decoder.flush()?);
        let whole = match batches.as_slice() {
            [] => return Ok(Vec::new()),
            [one] => one.clone(),
            many => concat_batches(&self.decoded, many)?,
        };
        Ok(vec![self.finish(&whole)?])
    }

    fn finish(&self, decoded: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let columns = decoded
            .columns()
            .iter()
            .zip(self.nested.fields())
            .map(|(column, field)| match column.data_type() == field.data_type() {
                true => Ok(Arc::clone(column)),
                false => cast_with_options(column, field.data_type(), &strict),
            })
            .collect::<Result<Vec<ArrayRef>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(decoded.num_rows()));
        let nested = RecordBatch::try_new_with_options(Arc::clone(&self.nested), columns, &options)?;
        match &self.flat {
            None => Ok(nested),
            Some(flat) => flatten::batch(&nested, flat),
        }
    }

    fn records(&self, chunk: &Chunk) -> Vec<Record> {
        let mut text = chunk.data.to_vec();
        let layout = if self.layout == Layout::Lines { Layout::Lines } else { Layout::Sequence };
        let mut ends = boundary::record_ends(layout, &mut text, true);
        if ends.last() != Some(&text.len())
            && !text.get(ends.last().copied().unwrap_or(0)..).unwrap_or_default().trim_ascii().is_empty()
        {
            ends.push(text.len());
        }
        let (mut start, mut line) = (0, chunk.first_line);
        let mut records = Vec::with_capacity(ends.len());
        for end in ends {
            let record = text.get(start..end).unwrap_or_default();
            let blank = record.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            line += count_lines(record.get(..blank).unwrap_or_default(), b'\n');
            if blank < record.len() {
                records.push(Record { start: start + blank, end, line });
            }
            line += count_lines(record.get(blank..).unwrap_or_default(), b'\n');
            start = end;
        }
        records
    }

    /// Decodes consecutive records. When that fails, tries both halves.
    fn some(&self, chunk: &Chunk, records: &[Record], done: &mut Decoded) -> Result<()> {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(()) };
        let text = chunk.data.get(first.start..last.end).unwrap_or_default();
        if let ([record], Some(found)) = (records, duplicate::find(text)) {
            return self.refuse(text, ambiguous_record(record.line, text, &found), done);
        }
        match (self.fast(text), records) {
            // Where lines are the records, a line cannot hold two, nor half of one.
            (Ok(batches), [_]) if rows(&batches) != 1 => {
                let reason = "the line does not hold exactly one object".to_owned();
                self.refuse(text, Reject { line: first.line, column: None, value: None, reason }, done)
            }
            (Ok(batches), many) if rows(&batches) == many.len() && duplicate::find(text).is_none() => {
                done.batches.extend(batches);
                Ok(())
            }
            (Err(error), [record]) => self.refuse(text, self.problem(text, record.line, &error), done),
            (_, records) => {
                let (left, right) = records.split_at(records.len() / 2);
                self.some(chunk, left, done)?;
                self.some(chunk, right, done)
            }
        }
    }

    fn problem(&self, text: &[u8], line: u64, error: &ArrowError) -> Reject {
        let text = text.trim_ascii();
        let value: serde_json::Value = match serde_json::from_slice(text) {
            Ok(value) => value,
            Err(error) => return broken_record(line, text, &error),
        };
        match explain::record(&value, &self.nested, self.sample_rows) {
            Some(problem) => {
                let value = problem.value.map(|value| shorten(&value));
                Reject { line, column: problem.path, value, reason: problem.reason }
            }
            None => Reject { line, column: None, value: None, reason: shorten(&error.to_string()) },
        }
    }

    fn refuse(&self, text: &[u8], reject: Reject, done: &mut Decoded) -> Result<()> {
        let record = text.trim_ascii().to_vec();
        refuse(&self.file, self.on_bad_row, Rejected { reject, record }, &mut done.rejects)
    }
}

fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// Lines that are not blank.
fn lines(text: &[u8]) -> usize {
    text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count()
}

fn decodable_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name(), decodable(field.data_type()), field.is_nullable()))
}

fn decodable(data_type: &DataType) -> DataType {
    match data_type {
        DataType::List(item) => DataType::List(decodable_field(item)),
        DataType::LargeList(item) => DataType::LargeList(decodable_field(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(decodable_field).collect()),
        other if other.is_integer() => DataType::Utf8,
        other => other.clone(),
    }
}
