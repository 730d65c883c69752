//! JSON: an array of objects, or objects one after the other.

mod boundary;
mod decode;
mod duplicate;
mod explain;
mod flatten;
mod infer;
mod schema;

use std::sync::Arc;

use self::{
    boundary::{JsonBoundary, Layout},
    decode::JsonPlan,
};
use super::{Emitter, Plain, Source};
use crate::{
    Error, Result,
    chunk::{ChunkLimits, Chunker},
    text::to_utf8,
};

const FIRST_SAMPLE: usize = 64 << 10;
/// Cells of one batch at most: objects that leave most fields out take little text and much memory.
const MAX_CELLS: usize = 4 << 20;

/// Reads a JSON file to its end.
///
/// # Errors
/// When it cannot be read; in particular [`Error::BadRow`].
pub(super) fn run(plain: Plain, source: &Source, out: &Emitter) -> Result<()> {
    let options = &source.options;
    // JSON is UTF-8, unless a byte order mark says otherwise.
    let mut text = to_utf8(plain, None, &source.file)?;
    let sample = sample(&mut text, source)?;
    let schemas = schema::plan(source, &sample)?;
    let plan = Arc::new(JsonPlan::new(source, schemas, sample.layout));
    out.schema(plan.schema())?;

    let limits = ChunkLimits {
        chunk_bytes: options.limits.chunk_bytes,
        max_record_bytes: options.limits.max_record_bytes,
        newline: b'\n',
    };
    let rows = MAX_CELLS / plan.cells_per_row().max(1);
    let boundary = JsonBoundary::new(sample.layout, rows.clamp(1, 64 << 10));
    let mut chunks = Chunker::new(text, boundary, &source.file, limits);
    while let Some(chunk) = chunks.next()? {
        let plan = Arc::clone(&plan);
        out.work(move || plan.decode(&chunk))?;
    }
    Ok(())
}

/// The beginning of the text, with separators blanked out.
struct Sample {
    text: Vec<u8>,
    /// The ends of the records in it, in order.
    ends: Vec<usize>,
    layout: Layout,
}

/// Enough text for `sample_rows` records, bounded by bytes, but always one whole record if there is one.
fn sample(text: &mut Plain, source: &Source) -> Result<Sample> {
    let limits = &source.options.limits;
    let mut wanted = FIRST_SAMPLE.min(limits.sample_bytes);
    loop {
        let head = text.peek(wanted).map_err(|error| Error::from_io(&source.file, error))?;
        let whole = head.len() < wanted;
        let layout = boundary::layout(head);
        let mut copy = head.to_vec();
        let mut ends = boundary::record_ends(layout, &mut copy, whole);
        let enough = ends.len() >= source.options.sample_rows || (wanted >= limits.sample_bytes && !ends.is_empty());
        if whole || enough || wanted >= limits.max_record_bytes {
            ends.truncate(source.options.sample_rows.max(1));
            return Ok(Sample { text: copy, ends, layout });
        }
        let most = if ends.is_empty() { limits.max_record_bytes } else { limits.sample_bytes };
        wanted = (wanted * 2).min(most);
    }
}

impl Sample {
    /// The records, with the line each begins on.
    fn records(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut start = 0;
        let mut line = 1;
        self.ends.iter().map(move |end| {
            let record = self.text.get(start..*end).unwrap_or_default();
            let blank = record.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let first = line + crate::chunk::count_lines(record.get(..blank).unwrap_or_default(), b'\n');
            line += crate::chunk::count_lines(record, b'\n');
            start = *end;
            (first, record.trim_ascii())
        })
    }
}
