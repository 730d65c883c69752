//! Encodes some neighbouring columns of the table, row group after row group. Synchronous; runs on blocking threads.

use std::{collections::BTreeSet, io, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{Float16Type, Float32Type, Float64Type},
};
use arrow_schema::{DataType, FieldRef, Schema, SchemaRef};
use parquet::{
    arrow::{
        ArrowSchemaConverter,
        arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves},
    },
    basic::{Encoding, PageType, Type},
    file::{
        metadata::ColumnChunkMetaData, properties::WriterProperties, statistics::Statistics,
        writer::SerializedFileWriter,
    },
    schema::types::{ColumnDescPtr, SchemaDescriptor},
};

use super::{WriteError, sample::is_unique};

/// One top-level column of the row group under way.
struct Column {
    field: FieldRef,
    /// One per leaf.
    writers: Vec<ArrowColumnWriter>,
    has_nan: bool,
}

/// Encodes a run of neighbouring top-level columns.
pub(super) struct Encoder {
    schema: SchemaRef,
    parquet: SchemaDescriptor,
    properties: WriterProperties,
    /// Leaves that get no dictionary: all of fixed width in a wide table, those whose first values hardly repeat, and those that outgrew theirs once. Building a
    /// dictionary that is thrown away is the dearest part of encoding such a column, and reading it the dearest part of a look-up.
    without_dictionary: BTreeSet<String>,
    /// The first values have been looked at.
    sampled: bool,
    /// Empty between row groups.
    columns: Vec<Column>,
}

impl Encoder {
    /// Without `dictionaries`, fixed-width columns get none.
    pub(super) fn new(
        fields: &[FieldRef],
        properties: WriterProperties,
        dictionaries: bool,
    ) -> Result<Self, WriteError> {
        let schema = Arc::new(Schema::new(fields.to_vec()));
        let parquet = ArrowSchemaConverter::new().with_coerce_types(properties.coerce_types()).convert(&schema)?;
        let without = |leaf: &&ColumnDescPtr| !dictionaries && leaf.physical_type() != Type::BYTE_ARRAY;
        let without_dictionary = parquet.columns().iter().filter(without).map(|leaf| leaf.path().string()).collect();
        Ok(Self { schema, parquet, properties, without_dictionary, sampled: false, columns: Vec::new() })
    }

    /// Encodes rows: for each column, its arrays one after the other.
    pub(super) fn write(&mut self, columns: &[Vec<ArrayRef>]) -> Result<(), WriteError> {
        if self.columns.is_empty() {
            if !std::mem::replace(&mut self.sampled, true) {
                self.sample(columns);
            }
            self.columns = self.start_row_group()?;
        }
        for (column, arrays) in self.columns.iter_mut().zip(columns) {
            for array in arrays {
                column.has_nan = column.has_nan || has_nan(array);
                let leaves = compute_leaves(&column.field, array)?;
                for (writer, leaf) in column.writers.iter_mut().zip(&leaves) {
                    writer.write(leaf)?;
                }
            }
        }
        Ok(())
    }

    /// Ends the row group and hands out its column chunks, leaf by leaf.
    pub(super) fn close(&mut self) -> Result<Vec<ArrowColumnChunk>, WriteError> {
        let mut chunks = Vec::with_capacity(self.columns.len());
        for column in std::mem::take(&mut self.columns) {
            for writer in column.writers {
                let mut chunk = writer.close()?;
                if dictionary_overflowed(&chunk.close().metadata) {
                    self.without_dictionary.insert(chunk.close().metadata.column_path().string());
                }
                if column.has_nan {
                    remove_bounds(&mut chunk)?;
                }
                chunks.push(chunk);
            }
        }
        Ok(chunks)
    }

    /// Bytes held for the row group under way.
    pub(super) fn memory(&self) -> usize {
        self.columns.iter().flat_map(|column| &column.writers).map(ArrowColumnWriter::memory_size).sum()
    }

    fn sample(&mut self, columns: &[Vec<ArrayRef>]) {
        for leaf in 0..self.parquet.num_columns() {
            // Only a column that is a leaf itself has values to look at.
            let column = self.parquet.column(leaf);
            let path = column.path();
            let first = columns.get(self.parquet.get_column_root_idx(leaf)).and_then(|arrays| arrays.first());
            if path.parts().len() == 1 && first.is_some_and(is_unique) {
                self.without_dictionary.insert(path.string());
            }
        }
    }

    fn start_row_group(&self) -> Result<Vec<Column>, WriteError> {
        let mut properties = self.properties.clone().into_builder();
        for leaf in self.parquet.columns() {
            if self.without_dictionary.contains(&leaf.path().string()) {
                properties = properties.set_column_dictionary_enabled(leaf.path().clone(), false);
            }
        }
        // The factory wants a file, but takes only schema and properties from it.
        let file = SerializedFileWriter::new(io::sink(), self.parquet.root_schema_ptr(), Arc::new(properties.build()))?;
        let factory = ArrowRowGroupWriterFactory::new(&file, Arc::clone(&self.schema));
        let mut writers = factory.create_column_writers(0)?.into_iter();
        let columns = self.schema.fields().iter().enumerate().map(|(index, field)| {
            let leaves =
                (0..self.parquet.num_columns()).filter(|leaf| self.parquet.get_column_root_idx(*leaf) == index);
            Column {
                field: Arc::clone(field),
                writers: writers.by_ref().take(leaves.count()).collect(),
                has_nan: false,
            }
        });
        Ok(columns.collect())
    }
}

/// Parquet's bounds leave NaN out, so a column that has one gets no bounds: a reader that orders NaN above all numbers,
/// as SQL does, would skip rows.
fn has_nan(array: &ArrayRef) -> bool {
    match array.data_type() {
        DataType::Float16 => array.as_primitive::<Float16Type>().values().iter().any(|v| v.is_nan()),
        DataType::Float32 => any_nan(array.as_primitive::<Float32Type>().values(), |v| v.is_nan()),
        DataType::Float64 => any_nan(array.as_primitive::<Float64Type>().values(), |v| v.is_nan()),
        DataType::Dictionary(_, _) => has_nan(array.as_any_dictionary().values()),
        _ => false,
    }
}

/// Without an early exit inside a block, so that it is compiled to vector instructions.
fn any_nan<T: Copy>(values: &[T], is_nan: impl Fn(T) -> bool + Copy) -> bool {
    values.chunks(1024).any(|block| block.iter().fold(false, |found, value| found | is_nan(*value)))
}

/// Whether the writer gave up on a dictionary half-way.
fn dictionary_overflowed(metadata: &ColumnChunkMetaData) -> bool {
    let is_data = |page: PageType| matches!(page, PageType::DATA_PAGE | PageType::DATA_PAGE_V2);
    let plain = |encoding| !matches!(encoding, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY);
    metadata.dictionary_page_offset().is_some()
        && metadata
            .page_encoding_stats()
            .is_some_and(|pages| pages.iter().any(|page| is_data(page.page_type) && plain(page.encoding)))
}

fn remove_bounds(chunk: &mut ArrowColumnChunk) -> Result<(), WriteError> {
    let close = chunk.close_mut();
    close.column_index = None;
    let nulls = close.metadata.statistics().and_then(Statistics::null_count_opt);
    let bare = match close.metadata.statistics() {
        Some(Statistics::Float(_)) => Statistics::float(None, None, None, nulls, false),
        Some(Statistics::Double(_)) => Statistics::double(None, None, None, nulls, false),
        Some(Statistics::FixedLenByteArray(_)) => Statistics::fixed_len_byte_array(None, None, None, nulls, false),
        _ => return Ok(()),
    };
    close.metadata = close.metadata.clone().into_builder().set_statistics(bare).build()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int64Array, StringArray};
    use arrow_schema::Field;

    use super::*;

    fn encoder(fields: Vec<Field>) -> Encoder {
        let fields: Vec<FieldRef> = fields.into_iter().map(Arc::new).collect();
        Encoder::new(&fields, WriterProperties::default(), true).unwrap()
    }

    #[test]
    fn nan_leaves_no_bounds() {
        let mut encoder = encoder(vec![Field::new("x", DataType::Float64, true)]);
        encoder.write(&[vec![Arc::new(Float64Array::from(vec![Some(1.0), Some(f64::NAN), None]))]]).unwrap();
        let chunks = encoder.close().unwrap();
        let statistics = chunks[0].close().metadata.statistics().unwrap();
        assert!(statistics.min_bytes_opt().is_none() && statistics.max_bytes_opt().is_none());
        assert_eq!(statistics.null_count_opt(), Some(1));
    }

    #[test]
    fn keys_get_no_dictionary() {
        let mut encoder = encoder(vec![Field::new("key", DataType::Int64, false)]);
        encoder.write(&[vec![Arc::new(Int64Array::from_iter_values(0..20_000))]]).unwrap();
        assert!(encoder.close().unwrap()[0].close().metadata.dictionary_page_offset().is_none());
    }

    #[test]
    fn a_dictionary_that_overflowed_is_not_tried_again() {
        let mut encoder =
            encoder(vec![Field::new("wide", DataType::Int64, false), Field::new("narrow", DataType::Utf8, false)]);
        for expect_dictionary in [true, false] {
            // The first array repeats itself, and that is the one that is looked at.
            let few: ArrayRef = Arc::new(Int64Array::from_iter_values((0..10_000).map(|n| n % 10)));
            let wide: ArrayRef = Arc::new(Int64Array::from_iter_values(0..300_000));
            let narrow: ArrayRef = Arc::new(StringArray::from(vec!["same"; 310_000]));
            encoder.write(&[vec![few, wide], vec![narrow]]).unwrap();
            let chunks = encoder.close().unwrap();
            assert_eq!(chunks[0].close().metadata.dictionary_page_offset().is_some(), expect_dictionary);
            assert!(chunks[1].close().metadata.dictionary_page_offset().is_some());
        }
    }
}
