//! Chunks of CSV become batches: whole chunks at once, and row by row only where that fails.

use arrow::{
    array::RecordBatch,
    compute::concat_batches,
    datatypes::{Field, SchemaRef},
    error::ArrowError,
};
use arrow_csv::ReaderBuilder;
use regex::Regex;

use super::{cell, dialect::Dialect};
use crate::{
    Error, OnBadRow, Reject, Result,
    chunk::{Chunk, count_lines},
    format::{Decoded, Rejected, refuse},
    report::shorten,
};

/// Everything a thread needs to know to decode a chunk.
#[derive(Debug)]
pub(super) struct CsvPlan {
    file: String,
    pub(super) dialect: Dialect,
    pub(super) schema: SchemaRef,
    /// Values that mean null, the empty one included; `None` for only the empty one.
    nulls: Option<Regex>,
    on_bad_row: OnBadRow,
}

/// Where a record stands in its chunk.
#[derive(Debug, Clone, Copy)]
struct Row {
    start: usize,
    end: usize,
    line: u64,
}

impl CsvPlan {
    /// # Errors
    /// When the values that mean null cannot be made into a pattern: there are too many.
    pub(super) fn new(
        file: &str,
        dialect: Dialect,
        schema: SchemaRef,
        nulls: &[String],
        on_bad_row: OnBadRow,
    ) -> Result<Self> {
        let nulls = match nulls {
            [] => None,
            values => {
                let alternatives = values.iter().map(|v| regex::escape(v)).collect::<Vec<_>>().join("|");
                let pattern = Regex::new(&format!("^(?:|{alternatives})$"));
                Some(pattern.map_err(|error| Error::option("csv.null_values", error.to_string()))?)
            }
        };
        Ok(Self { file: file.to_owned(), dialect, schema, nulls, on_bad_row })
    }

    /// Decodes whole records.
    ///
    /// # Errors
    /// [`Error::BadRow`] for the first row that cannot be read, unless such rows are to be skipped.
    pub(super) fn decode(&self, chunk: &Chunk) -> Result<Decoded> {
        if let Ok(batches) = self.fast(&chunk.data) {
            return Ok(Decoded { batches, rejects: Vec::new() });
        }
        self.row_by_row(chunk)
    }

    fn fast(&self, text: &[u8]) -> Result<Vec<RecordBatch>, ArrowError> {
        let columns = self.schema.fields().len().max(1);
        // No row takes fewer bytes than it has columns, so this bounds what the decoder sets aside.
        let lines = usize::try_from(count_lines(text, self.dialect.newline)).unwrap_or(usize::MAX);
        let rows = lines.min(text.len() / columns).saturating_add(1);
        let mut builder = self.dialect.apply(ReaderBuilder::new(self.schema.clone())).with_batch_size(rows);
        if let Some(nulls) = &self.nulls {
            builder = builder.with_null_regex(nulls.clone());
        }
        let mut decoder = builder.build_decoder();
        let mut batches = Vec::new();
        let mut rest = text;
        loop {
            // Once `rest` is empty, the call tells the decoder that the last record has ended.
            let read = decoder.decode(rest)?;
            rest = rest.get(read..).unwrap_or_default();
            if read == 0 || decoder.capacity() == 0 {
                match decoder.flush()? {
                    Some(batch) => batches.push(batch),
                    None => return Ok(batches),
                }
            }
        }
    }

    /// Finds the rows that cannot be read, and decodes the others.
    fn row_by_row(&self, chunk: &Chunk) -> Result<Decoded> {
        let mut done = Decoded::default();
        let mut good: Vec<Row> = Vec::new();
        let mut reader = self.dialect.reader(&chunk.data);
        let mut record = csv::ByteRecord::new();
        let mut line = chunk.first_line;
        loop {
            let before = position(&reader, chunk);
            let found = reader.read_byte_record(&mut record);
            if !found.map_err(|error| Error::file(&self.file, error.to_string()))? {
                break;
            }
            let end = position(&reader, chunk);
            let text = chunk.data.get(before..end).unwrap_or_default();
            let blank = text.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
            let start = before + blank;
            line += count_lines(text.get(..blank).unwrap_or_default(), self.dialect.newline);
            let row = Row { start, end, line };
            line += count_lines(text.get(blank..).unwrap_or_default(), self.dialect.newline);
            match self.shape_problem(&record, row) {
                None => good.push(row),
                Some(reject) => {
                    self.good_rows(chunk, &good, &mut done)?;
                    good.clear();
                    self.refuse(chunk, row, reject, &mut done)?;
                }
            }
        }
        self.good_rows(chunk, &good, &mut done)?;
        if done.batches.len() > 1 {
            let whole = concat_batches(&self.schema, &done.batches);
            done.batches = vec![whole.map_err(|error| Error::Internal(error.to_string()))?];
        }
        Ok(done)
    }

    /// What is wrong with a record before its values are looked at.
    fn shape_problem(&self, record: &csv::ByteRecord, row: Row) -> Option<Reject> {
        let columns = self.schema.fields().len();
        if record.len() != columns {
            let reason = format!("the row has {} fields, and there are {columns} columns", record.len());
            return Some(Reject { line: row.line, column: None, value: None, reason });
        }
        let (index, value) = record.iter().enumerate().find(|(_, value)| std::str::from_utf8(value).is_err())?;
        Some(Reject {
            line: row.line,
            column: self.schema.fields().get(index).map(|field| field.name().clone()),
            value: Some(shorten(&String::from_utf8_lossy(value))),
            reason: "not valid UTF-8; name the file's encoding in csv.encoding".to_owned(),
        })
    }

    /// Decodes consecutive rows of the right shape. When that fails, tries both halves.
    fn good_rows(&self, chunk: &Chunk, rows: &[Row], done: &mut Decoded) -> Result<()> {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(()) };
        let text = chunk.data.get(first.start..last.end).unwrap_or_default();
        match (self.fast(text), rows) {
            (Ok(batches), _) => {
                done.batches.extend(batches);
                Ok(())
            }
            (Err(error), [row]) => {
                let reject = self.value_problem(text, *row, &error);
                self.refuse(chunk, *row, reject, done)
            }
            (Err(_), rows) => {
                let (left, right) = rows.split_at(rows.len() / 2);
                self.good_rows(chunk, left, done)?;
                self.good_rows(chunk, right, done)
            }
        }
    }

    fn value_problem(&self, text: &[u8], row: Row, error: &ArrowError) -> Reject {
        let values = self.dialect.first_record(text).unwrap_or_default();
        let found = values.iter().zip(self.schema.fields()).find_map(|(value, field)| {
            let value = String::from_utf8_lossy(value);
            Some((value.clone(), field, cell::problem(&value, field, self.nulls.as_ref())?))
        });
        match found {
            Some((value, field, reason)) => {
                let column = Some(Field::name(field).clone());
                Reject { line: row.line, column, value: Some(shorten(&value)), reason }
            }
            None => Reject { line: row.line, column: None, value: None, reason: shorten(&error.to_string()) },
        }
    }

    fn refuse(&self, chunk: &Chunk, row: Row, reject: Reject, done: &mut Decoded) -> Result<()> {
        let record = chunk.data.get(row.start..row.end).unwrap_or_default();
        let record = record.strip_suffix(b"\n").unwrap_or(record);
        let record = record.strip_suffix(b"\r").unwrap_or(record).to_vec();
        refuse(&self.file, self.on_bad_row, Rejected { reject, record }, &mut done.rejects)
    }
}

fn position(reader: &csv::Reader<&[u8]>, chunk: &Chunk) -> usize {
    usize::try_from(reader.position().byte()).unwrap_or(usize::MAX).min(chunk.data.len())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::AsArray,
        datatypes::{DataType, Int64Type, Schema},
    };
    use bytes::Bytes;

    use super::*;

    fn plan(fields: &[(&str, DataType, bool)], on_bad_row: OnBadRow) -> CsvPlan {
        let dialect = Dialect { delimiter: b',', quote: b'"', escape: None, has_header: false, newline: b'\n' };
        let fields: Vec<_> = fields.iter().map(|(n, t, null)| Field::new(*n, t.clone(), *null)).collect();
        CsvPlan::new("f.csv", dialect, Arc::new(Schema::new(fields)), &["NA".to_owned()], on_bad_row).unwrap()
    }

    fn chunk(text: &str) -> Chunk {
        Chunk { data: Bytes::copy_from_slice(text.as_bytes()), first_line: 10 }
    }

    const AB: &[(&str, DataType, bool)] = &[("a", DataType::Int64, true), ("b", DataType::Utf8, true)];

    #[test]
    fn good_chunks_are_decoded_at_once() {
        let done = plan(AB, OnBadRow::Fail).decode(&chunk("1,x\n\nNA,\"y\nz\"\n3,")).unwrap();
        let batch = &done.batches[0];
        assert_eq!(batch.column(0).as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(1), None, Some(3)]);
        assert_eq!(batch.column(1).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("x"), Some("y\nz"), None]);
    }

    #[test]
    fn the_first_bad_row_is_named() {
        for (text, expected) in [
            ("1,x\n2,y\nq,z\n", "f.csv, line 12, column 'a': cannot read 'q': not a whole number in range (Int64)"),
            ("1,\"x\ny\"\r\n\r\nq,z\r\n", "f.csv, line 13, column 'a': cannot read 'q'"),
            ("1,x\n2\n", "f.csv, line 11: the row has 1 fields, and there are 2 columns"),
            ("1,x\n2,y,z\nq,q\n", "f.csv, line 11: the row has 3 fields"),
            ("q,x\n2\n", "f.csv, line 10, column 'a'"),
        ] {
            let error = plan(AB, OnBadRow::Fail).decode(&chunk(text)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn bad_rows_can_be_skipped() {
        let text = "1,x\nq,y\n3,z\n4\n5,\"w\nv\"\n6,u,7\n8,t\n9.5,s\n";
        let done = plan(AB, OnBadRow::Skip).decode(&chunk(text)).unwrap();
        assert_eq!(done.batches.len(), 1);
        let values = done.batches[0].column(0).as_primitive::<Int64Type>().values().to_vec();
        assert_eq!(values, [1, 3, 5, 8]);
        let rejects: Vec<_> = done.rejects.iter().map(|r| (r.reject.line, r.record.as_slice())).collect();
        assert_eq!(rejects, [(11, &b"q,y"[..]), (13, b"4"), (16, b"6,u,7"), (18, b"9.5,s")]);
    }

    #[test]
    fn bytes_that_are_no_text_and_nulls_that_are_not_allowed_are_named() {
        let data = Bytes::from_static(b"1,x\n2,\xff\n");
        let error = plan(AB, OnBadRow::Fail).decode(&Chunk { data, first_line: 1 }).unwrap_err().to_string();
        assert!(error.contains("line 2, column 'b'") && error.contains("not valid UTF-8"), "{error}");
        let strict = [("a", DataType::Int64, false), ("b", DataType::Utf8, true)];
        let error = plan(&strict, OnBadRow::Fail).decode(&chunk("1,x\nNA,y\n")).unwrap_err().to_string();
        assert!(error.contains("line 11, column 'a'") && error.contains("no nulls"), "{error}");
    }

    #[test]
    fn blank_lines_do_not_make_the_decoder_set_memory_aside() {
        let wide: Vec<(String, DataType, bool)> =
            (0..10_000).map(|i| (format!("c{i}"), DataType::Int64, true)).collect();
        let wide: Vec<_> = wide.iter().map(|(n, t, b)| (n.as_str(), t.clone(), *b)).collect();
        let done = plan(&wide, OnBadRow::Fail).decode(&chunk(&"\n".repeat(1 << 20))).unwrap();
        assert!(done.batches.is_empty());
    }
}
