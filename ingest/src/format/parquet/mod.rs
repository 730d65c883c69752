//! Parquet: put aside whole, because its table of contents is at the end, then read batch by batch.

mod thrift;

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
};

use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
    errors::ParquetError,
    file::metadata::ParquetMetaData,
};

use super::{Emitter, Plain, Source};
use crate::{Error, Result, spool::spool};

const MAGIC: &[u8; 4] = b"PAR1";
/// The magic number at the start, and the footer's length and the magic number at the end.
const LEAST_BYTES: u64 = 12;
const MAX_FOOTER: u64 = 256 << 20;
/// Batches aim at this many bytes.
const BATCH_BYTES: i64 = 16 << 20;
const MAX_BATCH_ROWS: i64 = 64 << 10;

/// Reads a Parquet file to its end.
///
/// # Errors
/// When it cannot be read, or the server's disk is full.
pub(super) fn run(mut plain: Plain, source: &Source, out: &Emitter) -> Result<()> {
    let file_name = &source.file;
    let mut file = spool(&mut plain, source.options.limits.temp_dir.as_deref(), file_name)?;
    drop(plain);
    check_footer(&mut file, file_name)?;
    let damaged = |error: ParquetError| {
        Error::file(file_name, format!("the Parquet file cannot be read ({error}); send it again, or write it anew"))
    };
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(damaged)?;
    out.schema(metadata.schema().clone())?;
    let rows = batch_rows(metadata.metadata());
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata).with_batch_size(rows).build();
    for batch in reader.map_err(damaged)? {
        let batch = batch.map_err(|error| damaged(error.into()))?;
        out.batch(batch)?;
    }
    Ok(())
}

/// Checks what the library does not: it sets aside as much memory as the table of contents claims to need.
fn check_footer(file: &mut File, name: &str) -> Result<()> {
    let failed = |source| Error::Io { context: "reading a file put aside", source };
    let length = file.seek(SeekFrom::End(0)).map_err(failed)?;
    let cut_off = || {
        Error::file(name, format!("the Parquet file is cut off (it has {length} bytes and no end mark); send it whole"))
    };
    if length < LEAST_BYTES {
        return Err(cut_off());
    }
    let mut tail = [0; 8];
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    file.read_exact(&mut tail[..4]).map_err(failed)?;
    if &tail[..4] != MAGIC {
        return Err(Error::file(name, "this is not a Parquet file; leave the format option out to have it detected"));
    }
    file.seek(SeekFrom::End(-8)).map_err(failed)?;
    file.read_exact(&mut tail).map_err(failed)?;
    let [a, b, c, d, magic @ ..] = tail;
    if &magic == b"PARE" {
        return Err(Error::file(name, "its footer is encrypted; write it without encryption"));
    }
    if &magic != MAGIC {
        return Err(cut_off());
    }
    let footer = u64::from(u32::from_le_bytes([a, b, c, d]));
    let bad = |why: &str| {
        Error::file(name, format!("the Parquet file's table of contents is damaged ({why}); write it anew"))
    };
    if footer > length - LEAST_BYTES {
        return Err(bad("it is longer than the file"));
    }
    if footer > MAX_FOOTER {
        return Err(Error::TooLarge(format!(
            "{name}: the table of contents has {footer} bytes; {MAX_FOOTER} is the most"
        )));
    }
    let start = length - 8 - footer;
    file.seek(SeekFrom::Start(start)).map_err(failed)?;
    let mut bytes = Vec::new();
    file.by_ref().take(footer).read_to_end(&mut bytes).map_err(failed)?;
    thrift::check(&bytes).map_err(|why| bad(&why))
}

/// As many rows as make a batch of a sensible size.
fn batch_rows(metadata: &ParquetMetaData) -> usize {
    let rows: i64 = metadata.row_groups().iter().map(|group| group.num_rows().max(0)).sum();
    let bytes: i64 =
        metadata.row_groups().iter().map(|group| group.total_byte_size().max(0)).fold(0, i64::saturating_add);
    let row_bytes = (bytes / rows.max(1)).max(1);
    usize::try_from((BATCH_BYTES / row_bytes).clamp(1, MAX_BATCH_ROWS)).unwrap_or(1)
}
