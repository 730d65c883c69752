//! Data to send.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch},
    util::pretty::pretty_format_batches,
};
use arrow_flight::{FlightData, FlightDescriptor, utils::batches_to_flight_data};

/// A batch of the given columns, all nullable as their data says.
pub fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

/// One column `n` with the numbers from 0 to `rows`.
pub fn numbers(rows: i64) -> RecordBatch {
    batch(vec![("n", Arc::new(Int64Array::from_iter_values(0..rows)))])
}

/// The messages of an upload: descriptor and schema, then the batches.
pub fn flight_data(descriptor: FlightDescriptor, batches: &[RecordBatch]) -> Vec<FlightData> {
    let mut messages = batches_to_flight_data(&batches[0].schema(), batches.to_vec()).unwrap();
    messages[0].flight_descriptor = Some(descriptor);
    messages
}

/// Batches as text, without the frame: one line per row, cells separated by a bar.
pub fn table(batches: &[RecordBatch]) -> String {
    let text = pretty_format_batches(batches).unwrap().to_string();
    let rows = text.lines().filter(|line| line.starts_with('|'));
    rows.skip(1)
        .map(|row| row.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join("|"))
        .collect::<Vec<_>>()
        .join("\n")
}
