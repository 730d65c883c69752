//! What arrow-flight's own decoder reads back is what went in, for every type, sliced or not.

use std::sync::Arc;

use arrow::{
    array::*,
    buffer::{NullBuffer, OffsetBuffer, ScalarBuffer},
    datatypes::*,
};
use arrow_flight::{FlightData, decode::FlightRecordBatchStream, error::FlightError};
use bytes::{Buf, Bytes};
use futures::{StreamExt, TryStreamExt, stream};
use http_body_util::BodyExt;
use prost::Message;
use tonic::Status;

use super::{EncodeOptions, body};

/// Sends batches through the encoder and gives the gRPC messages and the trailing status code.
async fn send(
    schema: SchemaRef,
    batches: Vec<Result<RecordBatch, Status>>,
    options: EncodeOptions,
) -> (Vec<FlightData>, String) {
    let collected = body(schema, stream::iter(batches).boxed(), options).await.collect().await.unwrap();
    let status = collected.trailers().unwrap()["grpc-status"].to_str().unwrap().to_owned();
    let mut bytes: Bytes = collected.to_bytes();
    let mut messages = Vec::new();
    while bytes.has_remaining() {
        assert_eq!(bytes.get_u8(), 0, "messages are not compressed");
        let len = usize::try_from(bytes.get_u32()).unwrap();
        messages.push(FlightData::decode(bytes.split_to(len)).unwrap());
    }
    (messages, status)
}

async fn decode(messages: Vec<FlightData>) -> Vec<RecordBatch> {
    let messages = stream::iter(messages).map(Ok::<_, FlightError>);
    FlightRecordBatchStream::new_from_flight_data(messages).try_collect().await.unwrap()
}

async fn round_trip(batch: RecordBatch, options: EncodeOptions) -> RecordBatch {
    let schema = batch.schema();
    let (messages, status) = send(schema.clone(), vec![Ok(batch)], options).await;
    assert_eq!(status, "0");
    arrow::compute::concat_batches(&schema, &decode(messages).await).unwrap()
}

fn columns() -> Vec<(&'static str, ArrayRef)> {
    let long = "a string well beyond the twelve bytes that a view holds";
    let nulls = NullBuffer::from(vec![true, false, true, true, false, true]);
    let offsets = OffsetBuffer::new(ScalarBuffer::from(vec![0, 2, 2, 3, 6, 6, 7]));
    let item = Arc::new(Field::new_list_field(DataType::Int32, true));
    let items: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(3), Some(4), Some(5), None, Some(7)]));
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    for n in 0..6_i64 {
        map.keys().append_value(format!("key{n}"));
        map.values().append_value(n);
        map.append(n != 2).unwrap();
    }
    let words = [Some("x"), None, Some(long), Some(""), Some("🪿"), Some(long)];
    let struct_fields =
        Fields::from(vec![Field::new("a", DataType::Utf8, true), Field::new("b", DataType::Float64, false)]);
    vec![
        ("null", Arc::new(NullArray::new(6))),
        ("bool", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true), None, Some(true)]))),
        ("i8", Arc::new(Int8Array::from(vec![1, 2, 3, 4, 5, 6]))),
        ("u64", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(0), Some(1), None, Some(2)]))),
        ("f64", Arc::new(Float64Array::from(vec![f64::INFINITY, -0.0, 1.5, f64::MIN, f64::MAX, 0.1]))),
        ("decimal", Arc::new(Decimal128Array::from(vec![Some(i128::MAX), None, Some(0), Some(-1), Some(1), Some(2)]))),
        ("time", Arc::new(TimestampMicrosecondArray::from(vec![0, 1, 2, 3, 4, i64::MAX]).with_timezone("UTC"))),
        ("interval", Arc::new(IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(1, 2, 3); 6]))),
        ("fixed", Arc::new(FixedSizeBinaryArray::try_from_iter((0..6_u8).map(|n| [n, n, n])).unwrap())),
        ("utf8", Arc::new(StringArray::from(words.to_vec()))),
        ("large", Arc::new(LargeStringArray::from(words.to_vec()))),
        ("binary", Arc::new(BinaryArray::from(words.map(|w| w.map(str::as_bytes)).to_vec()))),
        ("view", Arc::new(StringViewArray::from(words.to_vec()))),
        ("binary_view", Arc::new(BinaryViewArray::from(words.map(|w| w.map(str::as_bytes)).to_vec()))),
        ("list", Arc::new(ListArray::new(item.clone(), offsets, items.clone(), Some(nulls.clone())))),
        ("vector", Arc::new(FixedSizeListArray::new(item.clone(), 1, items.slice(1, 6), Some(nulls.clone())))),
        (
            "list_view",
            Arc::new(ListViewArray::new(
                item,
                ScalarBuffer::from(vec![0, 1, 2, 0, 3, 1]),
                ScalarBuffer::from(vec![2, 1, 0, 3, 4, 1]),
                items,
                None,
            )),
        ),
        ("map", Arc::new(map.finish())),
        (
            "struct",
            Arc::new(StructArray::new(
                struct_fields,
                vec![
                    Arc::new(StringArray::from(words.to_vec())),
                    Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
                ],
                Some(nulls),
            )),
        ),
        (
            "dictionary",
            Arc::new(["x", "y", "x", "z", "x", "y"].into_iter().map(Some).collect::<DictionaryArray<Int32Type>>()),
        ),
    ]
}

#[tokio::test]
async fn every_type_survives_whole_and_sliced() {
    for (name, column) in columns() {
        let batch = RecordBatch::try_from_iter_with_nullable([(name, column, true)]).unwrap();
        for (start, len) in [(0, 6), (1, 4), (5, 1), (3, 3)] {
            let slice = batch.slice(start, len);
            let back = round_trip(slice.clone(), EncodeOptions::default()).await;
            assert_eq!(back, slice, "column {name}, rows {start}..{}", start + len);
        }
    }
}

#[tokio::test]
async fn all_types_travel_together() {
    let columns = columns().into_iter().map(|(name, column)| (name, column, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    assert_eq!(round_trip(batch.clone(), EncodeOptions::default()).await, batch);
}

#[tokio::test]
async fn compressed_bodies_survive() {
    let batch = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![7; 10_000])) as ArrayRef)]).unwrap();
    let options = EncodeOptions { compression: Some(arrow_ipc::CompressionType::ZSTD), ..EncodeOptions::default() };
    assert_eq!(round_trip(batch.clone(), options).await, batch);
}

#[tokio::test]
async fn a_large_batch_is_split_below_the_limit() {
    let words = StringViewArray::from_iter_values((0..5_000).map(|n| format!("a rather long string, number {n}")));
    let batch = RecordBatch::try_from_iter([
        ("n", Arc::new(Int64Array::from_iter_values(0..5_000)) as ArrayRef),
        ("w", Arc::new(words) as ArrayRef),
    ])
    .unwrap();
    let options = EncodeOptions { max_body_bytes: 20_000, ..EncodeOptions::default() };
    let (messages, _) = send(batch.schema(), vec![Ok(batch.clone())], options).await;
    assert!(messages.len() > 10);
    assert!(messages.iter().all(|message| message.data_body.len() <= 20_000));
    let back = arrow::compute::concat_batches(&batch.schema(), &decode(messages).await).unwrap();
    assert_eq!(back, batch);
}

#[tokio::test]
async fn a_batch_of_many_rows_is_split_when_asked_for() {
    let batch =
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(0..1_000)) as ArrayRef)]).unwrap();
    for compression in [None, Some(arrow_ipc::CompressionType::LZ4_FRAME)] {
        let options = EncodeOptions { max_rows: 300, compression, ..EncodeOptions::default() };
        let (messages, _) = send(batch.schema(), vec![Ok(batch.clone())], options).await;
        assert_eq!(decode(messages).await.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [300, 300, 300, 100]);
    }
}

#[tokio::test]
async fn a_slice_of_views_is_compressed_alone() {
    let words = StringViewArray::from_iter_values((0..20_000).map(|n| format!("a rather long string, number {n}")));
    let batch = RecordBatch::try_from_iter([("w", Arc::new(words) as ArrayRef)]).unwrap().slice(100, 10);
    let options =
        EncodeOptions { compression: Some(arrow_ipc::CompressionType::LZ4_FRAME), ..EncodeOptions::default() };
    let (messages, _) = send(batch.schema(), vec![Ok(batch.clone())], options).await;
    assert!(messages[1].data_body.len() < 1_000, "{} bytes for ten words", messages[1].data_body.len());
    assert_eq!(decode(messages).await, [batch]);
}

#[tokio::test]
async fn buffers_are_shared_not_copied() {
    let values = Int64Array::from_iter_values(0..100_000);
    let address = values.values().inner().as_ptr();
    let batch = RecordBatch::try_from_iter([("n", Arc::new(values) as ArrayRef)]).unwrap();
    let message = super::batch::encode(&batch).unwrap();
    assert!(message.body.iter().any(|part| part.as_ptr() == address));
}

#[tokio::test]
async fn an_empty_result_is_its_schema() {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let empty = RecordBatch::new_empty(schema.clone());
    let (messages, status) = send(schema, vec![Ok(empty)], EncodeOptions::default()).await;
    assert_eq!((messages.len(), status.as_str()), (1, "0"));
}

#[tokio::test]
async fn a_small_result_leaves_in_one_piece() {
    let batch = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
    let batches = stream::iter([Ok(batch.clone()), Ok(batch.clone())]).boxed();
    let mut whole = body(batch.schema(), batches, EncodeOptions::default()).await;
    assert!(whole.frame().await.unwrap().unwrap().is_data());
    assert!(whole.frame().await.unwrap().unwrap().is_trailers());
}

#[tokio::test]
async fn a_slow_result_shows_its_schema_before_its_rows() {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<RecordBatch, Status>>(1);
    let batch = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
    let batches = tokio_stream::wrappers::ReceiverStream::new(receiver).boxed();
    let mut slow = body(batch.schema(), batches, EncodeOptions::default()).await;
    assert!(slow.frame().await.unwrap().unwrap().is_data());
    sender.send(Ok(batch)).await.unwrap();
    drop(sender);
    assert!(slow.frame().await.unwrap().unwrap().is_data());
    assert!(slow.frame().await.unwrap().unwrap().is_trailers());
}

#[tokio::test]
async fn an_error_ends_the_stream_with_its_status() {
    let batch = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
    let items = vec![Ok(batch.clone()), Err(Status::resource_exhausted("out of memory: raise query.memory"))];
    let (messages, status) = send(batch.schema(), items, EncodeOptions::default()).await;
    assert_eq!(messages.len(), 2);
    assert_eq!(status, "8");
}

#[tokio::test]
async fn a_panic_is_an_error_never_a_short_stream() {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let batches = stream::once(async { panic!("a defect in a scan") });
    let collected = body(schema, batches.boxed(), EncodeOptions::default()).await.collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "13");
}

#[tokio::test]
async fn dropping_the_body_drops_the_query() {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<RecordBatch, Status>>(1);
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let batches = tokio_stream::wrappers::ReceiverStream::new(receiver).boxed();
    drop(body(schema, batches, EncodeOptions::default()).await);
    sender.closed().await;
}

#[test]
fn the_message_size_follows_the_client() {
    let size = |agent| EncodeOptions::for_user_agent(agent).max_body_bytes;
    assert_eq!(size(Some("grpc-c++/1.60.0 grpc-c/37.0.0 (linux; chttp2)")), EncodeOptions::LARGE_BODY_BYTES);
    assert_eq!(size(Some("ADBC Flight SQL Driver v1.9.0 grpc-go/1.77.0")), EncodeOptions::LARGE_BODY_BYTES);
    assert_eq!(size(None), EncodeOptions::SAFE_BODY_BYTES);
}
