//! `rowids.arrow`: a [`RowMap`] as an Arrow IPC file, for other programs to read, too. One row for each position: `file`, the
//! file's place in the manifest's list, and `row`, the row in it; both unsigned integers of 32 bits.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Write},
    path::Path,
    sync::Arc,
};

use arrow::{
    array::{Array, RecordBatch, UInt32Array},
    datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type},
    error::ArrowError,
};
use arrow_ipc::{
    CompressionType,
    reader::FileReader,
    writer::{FileWriter, IpcWriteOptions},
};

use super::{Manifest, RowMap, RowMapBuilder, chunks::local};
use crate::{Error, Result};

/// Positions in a batch.
const BATCH: u32 = 1 << 16;

fn schema() -> SchemaRef {
    let column = |name| Field::new(name, DataType::UInt32, false);
    Arc::new(Schema::new(vec![column("file"), column("row")]))
}

/// Writes the rows to a new local file.
pub(super) fn write(map: &RowMap, path: &Path) -> Result<()> {
    let file = File::create(path).map_err(|e| local("creating", path, e))?;
    let mut file = BufWriter::new(file);
    write_to(map, &mut file).map_err(|e| match e {
        ArrowError::IoError(_, source) => local("writing", path, source),
        other => Error::Internal(format!("rows cannot be written as Arrow: {other}")),
    })?;
    file.flush().map_err(|e| local("writing", path, e))
}

fn write_to(map: &RowMap, file: impl Write) -> Result<(), ArrowError> {
    let schema = schema();
    let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME))?;
    let mut writer = FileWriter::try_new_with_options(file, &schema, options)?;
    let mut first = 0;
    while first < map.len() {
        let end = first.saturating_add(BATCH).min(map.len());
        let places = || (first..end).filter_map(|position| map.locate(position));
        let files = UInt32Array::from_iter_values(places().map(|place| place.file));
        let rows = UInt32Array::from_iter_values(places().map(|place| place.row));
        writer.write(&RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(files), Arc::new(rows)])?)?;
        first = end;
    }
    writer.finish()
}

/// Reads the rows from a local file whose checksum was found right, and compares them with the manifest. The outer error is of
/// the file system; the inner one says what is wrong with the file.
pub(super) fn read(manifest: &Manifest, path: &Path) -> Result<Result<RowMap, String>> {
    let file = File::open(path).map_err(|e| local("opening", path, e))?;
    Ok(read_from(manifest, file))
}

fn read_from(manifest: &Manifest, file: File) -> Result<RowMap, String> {
    let reader = FileReader::try_new(BufReader::new(file), None).map_err(|e| e.to_string())?;
    let mut filler = Filler { manifest, builder: RowMapBuilder::new(), begun: 0 };
    for batch in reader {
        filler.add(&batch.map_err(|e| e.to_string())?)?;
    }
    filler.begin_until(manifest.files.len())?;
    let map = filler.builder.finish();
    match map.files().eq(manifest.files.iter().cloned()) {
        true => Ok(map),
        false => Err("it has other rows than the manifest counts".to_owned()),
    }
}

struct Filler<'a> {
    manifest: &'a Manifest,
    builder: RowMapBuilder,
    /// Files that were begun.
    begun: usize,
}

impl Filler<'_> {
    fn add(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let (files, rows) = (numbers(batch, "file")?, numbers(batch, "row")?);
        for (file, row) in files.values().iter().zip(rows.values()) {
            let file = usize::try_from(*file).map_err(|e| e.to_string())?;
            if file + 1 < self.begun || file >= self.manifest.files.len() {
                return Err(format!("it names file {file} out of order, or beyond the manifest's list"));
            }
            self.begin_until(file + 1)?;
            self.builder.add([*row]).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    fn begin_until(&mut self, count: usize) -> Result<(), String> {
        while let Some(file) = self.manifest.files.get(self.begun).filter(|_| self.begun < count) {
            self.builder.file(file.file, file.rows).map_err(|e| e.to_string())?;
            self.begun += 1;
        }
        Ok(())
    }
}

fn numbers<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a UInt32Array, String> {
    let column = batch.column_by_name(name).ok_or_else(|| format!("it has no column '{name}'"))?;
    let numbers = arrow::array::AsArray::as_primitive_opt::<UInt32Type>(column.as_ref());
    let numbers = numbers.ok_or_else(|| format!("its column '{name}' is of type {}", column.data_type()))?;
    if numbers.null_count() > 0 {
        return Err(format!("its column '{name}' has nulls"));
    }
    Ok(numbers)
}
