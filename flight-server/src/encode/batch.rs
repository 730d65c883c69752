//! One record batch as an Arrow IPC message: the metadata flatbuffer, and the body as shared buffers.
//!
//! Layouts follow the Arrow columnar format specification, "Serialization and Interprocess Communication".

use arrow::{
    array::{Array, ArrayRef, BinaryViewArray, RecordBatch, StringViewArray, make_array},
    buffer::Buffer,
    datatypes::{ArrowNativeType, DataType, Fields, ToByteSlice},
    error::ArrowError,
};
use arrow_data::ArrayData;
use arrow_ipc::{FieldNode, MessageBuilder, MessageHeader, MetadataVersion, RecordBatchBuilder};
use bytes::Bytes;
use flatbuffers::FlatBufferBuilder;

use super::parts::{Parts, to_i64};

/// An Arrow IPC message, before it is framed.
#[derive(Debug)]
pub(super) struct Message {
    /// The `Message` flatbuffer.
    pub(super) metadata: Bytes,
    /// The body, in order.
    pub(super) body: Vec<Bytes>,
    /// Length of the body in bytes.
    pub(super) body_len: usize,
}

/// Whether every column is of a type that [`encode`] handles. Dictionaries, unions and run-end encoded columns are not.
pub(super) fn is_shareable(fields: &Fields) -> bool {
    fields.iter().all(|field| shareable_type(field.data_type()))
}

fn shareable_type(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, _) | DataType::Union(_, _) | DataType::RunEndEncoded(_, _) => false,
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => shareable_type(field.data_type()),
        DataType::Struct(fields) => is_shareable(fields),
        _ => true,
    }
}

/// Encodes `batch`, whose columns must satisfy [`is_shareable`].
///
/// # Errors
/// When a column has a type that cannot be shared.
pub(super) fn encode(batch: &RecordBatch) -> Result<Message, ArrowError> {
    let mut encoder = Encoder::default();
    for column in batch.columns() {
        encoder.array(&column.to_data())?;
    }
    Ok(encoder.finish(batch.num_rows()))
}

#[derive(Default)]
struct Encoder {
    parts: Parts,
    nodes: Vec<FieldNode>,
    variadic: Vec<i64>,
}

impl Encoder {
    fn array(&mut self, data: &ArrayData) -> Result<(), ArrowError> {
        if data.data_type() == &DataType::Null {
            self.nodes.push(FieldNode::new(to_i64(data.len()), to_i64(data.len())));
            return Ok(());
        }
        self.nodes.push(FieldNode::new(to_i64(data.len()), to_i64(data.null_count())));
        self.validity(data);
        match data.data_type() {
            DataType::Boolean => self.parts.push(data.buffers()[0].bit_slice(data.offset(), data.len())),
            DataType::Utf8 | DataType::Binary => self.bytes::<i32>(data),
            DataType::LargeUtf8 | DataType::LargeBinary => self.bytes::<i64>(data),
            DataType::Utf8View | DataType::BinaryView => self.views(data),
            DataType::List(_) | DataType::Map(_, _) => return self.list::<i32>(data),
            DataType::LargeList(_) => return self.list::<i64>(data),
            DataType::ListView(_) => return self.list_view(data, size_of::<i32>()),
            DataType::LargeListView(_) => return self.list_view(data, size_of::<i64>()),
            DataType::FixedSizeList(_, size) => return self.fixed_size_list(data, *size),
            DataType::Struct(_) => return data.child_data().iter().try_for_each(|child| self.array(child)),
            DataType::FixedSizeBinary(width) => self.fixed(data, width.as_usize()),
            other => match other.primitive_width() {
                Some(width) => self.fixed(data, width),
                None => return Err(ArrowError::IpcError(format!("type {other} cannot be sent without a copy"))),
            },
        }
        Ok(())
    }

    fn validity(&mut self, data: &ArrayData) {
        let bitmap = match data.nulls() {
            Some(nulls) if nulls.null_count() > 0 => nulls.inner().sliced(),
            _ => empty(),
        };
        self.parts.push(bitmap);
    }

    fn fixed(&mut self, data: &ArrayData, width: usize) {
        self.parts.push(data.buffers()[0].slice_with_length(data.offset() * width, data.len() * width));
    }

    fn bytes<O: Offset>(&mut self, data: &ArrayData) {
        let (first, last) = self.offsets::<O>(data);
        self.parts.push(data.buffers()[1].slice_with_length(first, last - first));
    }

    fn list<O: Offset>(&mut self, data: &ArrayData) -> Result<(), ArrowError> {
        let (first, last) = self.offsets::<O>(data);
        self.array(&data.child_data()[0].slice(first, last - first))
    }

    /// Pushes offsets that start at zero; returns the range of values they cover.
    fn offsets<O: Offset>(&mut self, data: &ArrayData) -> (usize, usize) {
        if data.is_empty() {
            self.parts.push(Buffer::from(O::default().to_byte_slice()));
            return (0, 0);
        }
        let width = size_of::<O>();
        let buffer = data.buffers()[0].slice_with_length(data.offset() * width, (data.len() + 1) * width);
        let offsets = buffer.typed_data::<O>();
        let (first, last) = (offsets[0], offsets[data.len()]);
        if first.as_usize() == 0 {
            self.parts.push(buffer);
        } else {
            self.parts.push(offsets.iter().map(|offset| *offset - first).collect::<Vec<O>>().into());
        }
        (first.as_usize(), last.as_usize())
    }

    fn fixed_size_list(&mut self, data: &ArrayData, size: i32) -> Result<(), ArrowError> {
        let size = size.as_usize();
        self.array(&data.child_data()[0].slice(data.offset() * size, data.len() * size))
    }

    fn list_view(&mut self, data: &ArrayData, width: usize) -> Result<(), ArrowError> {
        for buffer in data.buffers() {
            self.parts.push(buffer.slice_with_length(data.offset() * width, data.len() * width));
        }
        self.array(&data.child_data()[0])
    }

    /// A slice of a view array keeps all data buffers of the whole: those are compacted rather than sent over and over.
    fn views(&mut self, data: &ArrayData) {
        const VIEW_BYTES: usize = 16;
        let compacted;
        let data = if is_wasteful(data) {
            compacted = compact(data);
            &compacted
        } else {
            data
        };
        let (views, rest) = (&data.buffers()[0], &data.buffers()[1..]);
        self.parts.push(views.slice_with_length(data.offset() * VIEW_BYTES, data.len() * VIEW_BYTES));
        rest.iter().for_each(|buffer| self.parts.push(buffer.clone()));
        self.variadic.push(to_i64(rest.len()));
    }

    fn finish(self, rows: usize) -> Message {
        let body_len = self.parts.len();
        let (body, buffers) = self.parts.finish();
        let mut fbb = FlatBufferBuilder::with_capacity(256 + 16 * (buffers.len() + self.nodes.len()));
        let buffers = fbb.create_vector(&buffers);
        let nodes = fbb.create_vector(&self.nodes);
        let variadic = (!self.variadic.is_empty()).then(|| fbb.create_vector(&self.variadic));
        let mut header = RecordBatchBuilder::new(&mut fbb);
        header.add_length(to_i64(rows));
        header.add_nodes(nodes);
        header.add_buffers(buffers);
        if let Some(variadic) = variadic {
            header.add_variadicBufferCounts(variadic);
        }
        let header = header.finish().as_union_value();
        let mut message = MessageBuilder::new(&mut fbb);
        message.add_version(MetadataVersion::V5);
        message.add_header_type(MessageHeader::RecordBatch);
        message.add_bodyLength(to_i64(body_len));
        message.add_header(header);
        let message = message.finish();
        fbb.finish(message, None);
        Message { metadata: Bytes::copy_from_slice(fbb.finished_data()), body, body_len }
    }
}

/// The two integer types of offset buffers.
trait Offset: ArrowNativeType + ToByteSlice + std::ops::Sub<Output = Self> {}
impl Offset for i32 {}
impl Offset for i64 {}

fn empty() -> Buffer {
    Buffer::from(&[] as &[u8])
}

/// The batch without what its columns of views hold and do not use: a writer that is not ours would send all of it.
///
/// # Errors
/// When a column does not fit the schema, which it did before.
pub(super) fn without_waste(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let is_view = |column: &ArrayRef| matches!(column.data_type(), DataType::Utf8View | DataType::BinaryView);
    if !batch.columns().iter().any(is_view) {
        return Ok(batch.clone());
    }
    let columns = batch.columns().iter().map(|column| {
        let data = column.to_data();
        if is_view(column) && is_wasteful(&data) { make_array(compact(&data)) } else { column.clone() }
    });
    RecordBatch::try_new(batch.schema(), columns.collect())
}

/// Whether the data buffers behind the views hold more than twice the bytes that the views use (and more than 4 KiB).
fn is_wasteful(data: &ArrayData) -> bool {
    const INLINE: u64 = 12;
    const LENGTH_MASK: u128 = 0xffff_ffff;
    let held: usize = data.buffers()[1..].iter().map(Buffer::len).sum();
    if held <= 4096 {
        return false;
    }
    let views = &data.buffers()[0].typed_data::<u128>()[data.offset()..data.offset() + data.len()];
    let lengths = views.iter().map(|view| u64::try_from(view & LENGTH_MASK).unwrap_or_default());
    let used: u64 = lengths.filter(|length| *length > INLINE).sum();
    u64::try_from(held).unwrap_or(u64::MAX) > used.saturating_mul(2)
}

fn compact(data: &ArrayData) -> ArrayData {
    match data.data_type() {
        DataType::Utf8View => StringViewArray::from(data.clone()).gc().to_data(),
        _ => BinaryViewArray::from(data.clone()).gc().to_data(),
    }
}
