//! The writer as a whole, against local and memory buckets, read back with the Parquet library.

use std::{collections::HashMap, sync::Arc, time::Duration};

use arrow::{
    array::*,
    compute::{cast, concat_batches},
    datatypes::{Int32Type, Int64Type},
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::{arrow::arrow_reader::ParquetRecordBatchReaderBuilder, file::metadata::ParquetMetaData};
use sha2::{Digest, Sha256};
use skein_model::{ErrorKind, Kind, TableName};
use skein_storage::{
    Bucket, BucketConfig, Buckets,
    fault::{Fault, FaultStore, Op},
};
use tempfile::TempDir;

use super::*;
use crate::{Actor, At, Catalog, CatalogOptions, DataFile, Dataset, NewDataset, StatValue};

async fn create(bucket: &Bucket, schema: &SchemaRef) -> (Dataset, SchemaRef) {
    let buckets = Buckets::new(vec![bucket.clone()]).unwrap();
    let catalog = Catalog::open(buckets, CatalogOptions::default()).await.unwrap();
    let name = TableName::in_default_schema("t").unwrap();
    let new = NewDataset { name, schema: schema.clone(), bucket: None, properties: Default::default() };
    let dataset = catalog.create_dataset(new, &Actor::new("tester")).await.unwrap();
    let schema = dataset.snapshot(At::Latest).await.unwrap().schema.clone();
    (dataset, schema)
}

async fn local_bucket() -> (TempDir, Bucket) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", folder.path().display());
    let config = BucketConfig { name: "local".to_owned(), url, options: Default::default(), read_only: false };
    (folder, Bucket::open(config).await.unwrap())
}

async fn write_all(
    dataset: &Dataset,
    schema: &SchemaRef,
    options: &WriterOptions,
    batches: &[RecordBatch],
) -> Vec<DataFile> {
    let mut writer = DatasetWriter::new(dataset, schema.clone(), options.clone());
    for batch in batches {
        writer.write(batch.clone()).await.unwrap();
    }
    assert_eq!(writer.rows(), batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>());
    writer.finish().await.unwrap()
}

/// Everything in `files`, in order, and the last footer.
async fn read_all(dataset: &Dataset, files: &[DataFile]) -> (RecordBatch, Arc<ParquetMetaData>) {
    let (mut batches, mut footer) = (Vec::new(), None);
    for file in files {
        let bytes = dataset.bucket().get(&dataset.data_key(file.id)).await.unwrap();
        assert_eq!((bytes.len() as u64, hex(&Sha256::digest(&bytes))), (file.bytes, file.sha256.clone()));
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        let metadata = builder.metadata().clone();
        assert_eq!(metadata.file_metadata().num_rows(), i64::try_from(file.rows).unwrap());
        assert_eq!(metadata.num_row_groups(), file.row_groups as usize);
        footer = Some(metadata);
        batches.extend(builder.build().unwrap().map(Result::unwrap));
    }
    (concat_batches(&batches[0].schema(), &batches).unwrap(), footer.unwrap())
}

fn numbers(range: std::ops::Range<i64>) -> RecordBatch {
    RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(range)) as ArrayRef)]).unwrap()
}

async fn objects(bucket: &Bucket) -> Vec<String> {
    let listed = bucket.list("tables/").await.unwrap();
    listed.iter().map(|meta| meta.location.to_string()).filter(|key| key.contains("/data/")).collect()
}

fn assert_same(found: &RecordBatch, expected: &RecordBatch) {
    assert_eq!(found.num_rows(), expected.num_rows());
    for (index, field) in expected.schema().fields().iter().enumerate() {
        let (found, expected) = (found.column(index), expected.column(index));
        assert!(found.data_type().equals_datatype(field.data_type()), "{field}");
        // Nested fields carry ids when they come back.
        let found = cast(found, field.data_type()).unwrap();
        assert_eq!(found.as_ref(), expected.as_ref(), "{field}");
    }
}

/// A column of every type that numbers can be cast to, and some nested ones; every third row is null.
fn every_type(rows: i64) -> RecordBatch {
    use DataType as T;
    let numbers: ArrayRef = Arc::new((0..rows).map(|i| (i % 3 > 0).then_some(i % 100)).collect::<Int64Array>());
    let text = cast(&numbers, &T::Utf8).unwrap();
    let flat = [
        T::Boolean,
        T::Int8,
        T::Int16,
        T::Int32,
        T::Int64,
        T::UInt8,
        T::UInt16,
        T::UInt32,
        T::UInt64,
        T::Float16,
        T::Float32,
        T::Float64,
        T::Date64,
        T::Time64(TimeUnit::Microsecond),
        T::Time64(TimeUnit::Nanosecond),
        T::Timestamp(TimeUnit::Second, None),
        T::Timestamp(TimeUnit::Millisecond, Some("Europe/Berlin".into())),
        T::Timestamp(TimeUnit::Microsecond, None),
        T::Timestamp(TimeUnit::Nanosecond, Some("+00:00".into())),
        T::Duration(TimeUnit::Millisecond),
        T::Decimal32(9, 2),
        T::Decimal64(18, 2),
        T::Decimal128(1, 0),
        T::Decimal128(9, 2),
        T::Decimal128(18, 2),
        T::Decimal128(38, 10),
        T::Decimal256(70, 3),
    ];
    let small = [T::Date32, T::Time32(TimeUnit::Second), T::Time32(TimeUnit::Millisecond)];
    let textual = [
        T::Utf8,
        T::LargeUtf8,
        T::Utf8View,
        T::Binary,
        T::LargeBinary,
        T::BinaryView,
        T::Dictionary(Box::new(T::Int32), Box::new(T::Utf8)),
        T::Dictionary(Box::new(T::UInt8), Box::new(T::Utf8)),
    ];
    let int32 = cast(&numbers, &T::Int32).unwrap();
    let digit = cast(&(Arc::new((0..rows).map(|i| i % 9).collect::<Int64Array>()) as ArrayRef), &T::Int64).unwrap();
    let mut columns: Vec<ArrayRef> = flat
        .iter()
        .map(|t| cast(if *t == T::Decimal128(1, 0) { &digit } else { &numbers }, t).unwrap())
        .chain(small.iter().map(|t| cast(&int32, t).unwrap()))
        .chain(textual.iter().map(|t| cast(&text, t).unwrap()))
        .collect();
    let list = |i: i64| (i % 4 > 0).then(|| (0..i % 4).map(|j| (j % 2 > 0).then_some(i)).collect::<Vec<_>>());
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>((0..rows).map(list));
    let pairs = (0..rows).map(|i| (i % 5 > 0).then(|| vec![Some(i), None]));
    let pairs = FixedSizeListArray::from_iter_primitive::<Int64Type, _, _>(pairs, 2);
    let inner = Field::new("lists", lists.data_type().clone(), true);
    let fields =
        vec![(Arc::new(Field::new("text", T::Utf8, true)), text), (Arc::new(inner), Arc::new(lists.clone()) as _)];
    let fixed = (0..rows).map(|i| (i % 2 > 0).then(|| i.to_le_bytes()));
    let fixed = FixedSizeBinaryArray::try_from_sparse_iter_with_size(fixed, 8).unwrap();
    let nested: [ArrayRef; 6] = [
        cast(&(Arc::new(lists.clone()) as ArrayRef), &T::LargeList(Arc::new(Field::new("item", T::Int64, true))))
            .unwrap(),
        Arc::new(lists),
        Arc::new(pairs),
        Arc::new(StructArray::from(fields)),
        Arc::new(fixed),
        Arc::new(NullArray::new(usize::try_from(rows).unwrap())),
    ];
    columns.extend(nested);
    let named = columns.into_iter().enumerate().map(|(i, column)| (format!("c{i}"), column, true));
    RecordBatch::try_from_iter_with_nullable(named).unwrap()
}

#[tokio::test]
async fn every_type_comes_back_as_it_was() {
    let batch = every_type(1000);
    let (_folder, local) = local_bucket().await;
    for bucket in [Bucket::in_memory("memory"), local] {
        let (dataset, ids) = create(&bucket, &batch.schema()).await;
        let halves = [batch.slice(0, 600), batch.slice(600, 400)];
        let files = write_all(&dataset, &ids, &WriterOptions::default(), &halves).await;
        let (found, footer) = read_all(&dataset, &files).await;
        assert_same(&found, &batch);
        let roots = footer.file_metadata().schema_descr().root_schema().get_fields();
        for (root, field) in roots.iter().zip(ids.fields()) {
            assert_eq!(Some(root.get_basic_info().id()), crate::field_id(field), "{field}");
        }
    }
}

#[tokio::test]
async fn rows_are_cut_into_row_groups_and_files() {
    let (_folder, bucket) = local_bucket().await;
    let (dataset, schema) = create(&bucket, &numbers(0..0).schema()).await;
    let options = WriterOptions { row_group_rows: 1000, target_file_bytes: 20_000, ..WriterOptions::default() };
    // One row at a time, then a batch larger than a row group.
    let mut batches: Vec<_> = (0..500).map(|i| numbers(i..i + 1)).collect();
    batches.push(numbers(500..12_345));
    let files = write_all(&dataset, &schema, &options, &batches).await;
    assert!(files.len() > 1, "{files:?}");
    assert_eq!(files.iter().map(|file| file.row_groups).sum::<u32>(), 13);
    let (found, _) = read_all(&dataset, &files).await;
    assert_same(&found, &numbers(0..12_345));
    let mut next = 0;
    for file in &files {
        let stats = file.columns.values().next().unwrap();
        let rows = i64::try_from(file.rows).unwrap();
        assert_eq!((&stats.min, &stats.max), (&Some(StatValue::Int(next)), &Some(StatValue::Int(next + rows - 1))));
        assert_eq!((stats.nulls, stats.exact), (0, true));
        next += rows;
    }
}

/// 5 MB that are all different.
fn noise(schema: &SchemaRef) -> RecordBatch {
    let row = |row: usize| -> Vec<u8> {
        let value = |i: usize| ((row * 1024 + i).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40).to_le_bytes()[0];
        (0..1024).map(value).collect()
    };
    let column = FixedSizeBinaryArray::try_from_iter((0..5000).map(row)).unwrap();
    RecordBatch::try_new(schema.clone(), vec![Arc::new(column)]).unwrap()
}

#[tokio::test]
async fn a_large_file_goes_up_in_parts_and_memory_bounds_row_groups() {
    let bucket = Bucket::in_memory("memory");
    let schema = Arc::new(Schema::new(vec![Field::new("b", DataType::FixedSizeBinary(1024), false)]));
    let batch = noise(&schema);
    let (dataset, ids) = create(&bucket, &schema).await;
    let options = WriterOptions { memory_bytes: 0, compression: Compression::None, ..WriterOptions::default() };
    let files = write_all(&dataset, &ids, &options, &vec![batch.clone(); 6]).await;
    assert_eq!(files.len(), 1);
    assert!(files[0].bytes > 3 * (5 << 20) && (3..=8).contains(&files[0].row_groups), "{files:?}");
    let (found, _) = read_all(&dataset, &files).await;
    assert_eq!(found.num_rows(), 30_000);
    assert_same(&found.slice(25_000, 5000), &batch);
}

#[tokio::test]
async fn statistics_are_in_the_units_of_their_column() {
    let long = "é".repeat(100);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("unsigned", Arc::new(UInt64Array::from(vec![Some(u64::MAX), Some(3), None]))),
        ("time", Arc::new(TimestampSecondArray::from(vec![Some(-5), Some(7), None]))),
        (
            "small",
            Arc::new(Decimal128Array::from(vec![Some(-12), Some(345), None]).with_precision_and_scale(5, 2).unwrap()),
        ),
        ("big", Arc::new(Decimal128Array::from(vec![Some(-12), Some(i128::MAX / 10), None]))),
        ("nan", Arc::new(Float64Array::from(vec![Some(1.0), Some(f64::NAN), None]))),
        ("infinite", Arc::new(Float64Array::from(vec![Some(1.5), Some(f64::INFINITY), None]))),
        ("zero", Arc::new(Float32Array::from(vec![Some(0.0), Some(1.0), None]))),
        ("half", Arc::new(Float16Array::from_iter_values([half(1), half(2), half(3)]))),
        ("short", Arc::new(StringViewArray::from(vec![Some("b"), Some("a"), None]))),
        ("long", Arc::new(StringArray::from(vec![Some(long.as_str()), Some("a"), None]))),
        ("bytes", Arc::new(BinaryArray::from_opt_vec(vec![Some(b"\xff"), Some(b"\x00"), None]))),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("empty", Arc::new(Int32Array::new_null(3))),
        ("dict", Arc::new(DictionaryArray::<Int32Type>::from_iter([Some("y"), Some("x"), None]))),
        ("nested", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1)]), None, None]))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap();
    let (dataset, schema) = create(&Bucket::in_memory("memory"), &batch.schema()).await;
    let files = write_all(&dataset, &schema, &WriterOptions::default(), &[batch]).await;
    let stats = |name: &str| {
        let id = crate::field_id(schema.field_with_name(name).unwrap()).unwrap();
        files[0].columns.get(&id).map(|stats| (stats.min.clone(), stats.max.clone(), stats.nulls, stats.exact))
    };
    use StatValue as V;
    let decimal = |text: &str| Some(V::Decimal(text.to_owned()));
    let text = |text: &str| Some(V::Text(text.to_owned()));
    assert_eq!(stats("unsigned"), Some((Some(V::UInt(3)), Some(V::UInt(u64::MAX)), 1, true)));
    assert_eq!(stats("time"), Some((Some(V::Int(-5)), Some(V::Int(7)), 1, true)));
    assert_eq!(stats("small"), Some((decimal("-12"), decimal("345"), 1, true)));
    assert_eq!(stats("big"), Some((decimal("-12"), decimal(&(i128::MAX / 10).to_string()), 1, true)));
    assert_eq!(stats("nan"), Some((None, None, 1, true)));
    assert_eq!(stats("infinite"), Some((Some(V::Float(1.5)), Some(V::Float(f64::INFINITY)), 1, true)));
    assert_eq!(stats("zero"), Some((Some(V::Float(-0.0)), Some(V::Float(1.0)), 1, false)));
    assert_eq!(stats("half").unwrap().1, Some(V::Float(3.0)));
    assert_eq!(stats("short"), Some((text("a"), text("b"), 1, true)));
    let (min, max, _, exact) = stats("long").unwrap();
    let Some(V::Text(max)) = max else { panic!("{max:?}") };
    assert!(min == text("a") && max.len() <= 64 && max > long && !exact, "{max}");
    assert_eq!(stats("bytes"), Some((Some(V::Bytes(vec![0])), Some(V::Bytes(vec![255])), 1, true)));
    assert_eq!(stats("flag"), Some((Some(V::Bool(false)), Some(V::Bool(true)), 1, true)));
    assert_eq!(stats("empty"), Some((None, None, 3, true)));
    assert_eq!(stats("dict"), Some((text("x"), text("y"), 1, true)));
    assert_eq!(stats("nested"), None);
}

fn half(value: u8) -> <arrow::datatypes::Float16Type as ArrowPrimitiveType>::Native {
    <arrow::datatypes::Float16Type as ArrowPrimitiveType>::Native::from_f32(f32::from(value))
}

#[tokio::test]
async fn a_bad_batch_is_refused_and_the_writer_goes_on() {
    let strict = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let (dataset, schema) = create(&Bucket::in_memory("memory"), &strict).await;
    let mut writer = DatasetWriter::new(&dataset, schema, WriterOptions::default());
    writer.write(numbers(0..10)).await.unwrap();
    let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    let null = RecordBatch::try_from_iter([("n", column)]).unwrap();
    let error = writer.write(null).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("column 'n' does not allow nulls, and row 11 holds one"), "{error}");
    let column: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let error = writer.write(RecordBatch::try_from_iter([("n", column)]).unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("type Utf8, expected Int64"), "{error}");
    writer.write(numbers(10..20)).await.unwrap();
    let files = writer.finish().await.unwrap();
    let (found, _) = read_all(&dataset, &files).await;
    assert_eq!(found.column(0).as_ref(), numbers(0..20).column(0).as_ref());
}

#[tokio::test]
async fn what_parquet_cannot_hold_is_refused_before_anything_is_written() {
    let bucket = Bucket::in_memory("memory");
    let (dataset, _) = create(&bucket, &numbers(0..0).schema()).await;
    let id = HashMap::from([(crate::FIELD_ID_KEY.to_owned(), "1".to_owned())]);
    let interval = DataType::Interval(arrow_schema::IntervalUnit::MonthDayNano);
    let schema = Arc::new(Schema::new(vec![Field::new("i", interval, true).with_metadata(id)]));
    let mut writer = DatasetWriter::new(&dataset, schema.clone(), WriterOptions::default());
    let column = IntervalMonthDayNanoArray::from(vec![arrow::datatypes::IntervalMonthDayNano::new(1, 2, 3)]);
    let error = writer.write(RecordBatch::try_new(schema, vec![Arc::new(column)]).unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unimplemented);
    assert!(error.to_string().contains("column 'i' has type Interval(MonthDayNano)"), "{error}");
    let none = DatasetWriter::new(&dataset, Arc::new(Schema::empty()), WriterOptions::default());
    assert_eq!(none.finish().await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(objects(&bucket).await, Vec::<String>::new());
}

#[tokio::test]
async fn no_rows_make_no_file() {
    let bucket = Bucket::in_memory("memory");
    let (dataset, schema) = create(&bucket, &numbers(0..0).schema()).await;
    assert_eq!(write_all(&dataset, &schema, &WriterOptions::default(), &[numbers(0..0)]).await, []);
    assert_eq!(objects(&bucket).await, Vec::<String>::new());
}

/// Small files and row groups, so that something is in the bucket before the end.
fn small() -> WriterOptions {
    WriterOptions { row_group_rows: 1000, target_file_bytes: 1, ..WriterOptions::default() }
}

/// Waits a few seconds for something that happens in the background.
async fn eventually<F: Future<Output = bool>>(mut condition: impl FnMut() -> F) -> bool {
    for _ in 0..250 {
        if condition().await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

#[tokio::test]
async fn an_aborted_or_dropped_writer_leaves_nothing() {
    for abort in [true, false] {
        let (_folder, bucket) = local_bucket().await;
        let (dataset, schema) = create(&bucket, &numbers(0..0).schema()).await;
        let mut writer = DatasetWriter::new(&dataset, schema, small());
        for i in 0..10 {
            writer.write(numbers(i * 5000..(i + 1) * 5000)).await.unwrap();
        }
        assert!(!objects(&bucket).await.is_empty());
        if abort {
            writer.abort().await;
        } else {
            drop(writer);
        }
        assert!(!abort || objects(&bucket).await.is_empty(), "abort waits");
        assert!(eventually(|| async { objects(&bucket).await.is_empty() }).await);
    }
}

#[tokio::test]
async fn giving_up_on_finish_leaves_nothing() {
    let wide = Arc::new(Schema::new(vec![Field::new("b", DataType::FixedSizeBinary(1024), false)]));
    let large = vec![noise(&wide); 2];
    // While the bucket is busy with each sort of request that a finish makes: one part, the end of an upload, a put.
    for (op, batches) in [(Op::Part, large.clone()), (Op::Complete, large), (Op::Put, vec![numbers(0..10)])] {
        let store = FaultStore::new(Arc::new(object_store::memory::InMemory::new()));
        let bucket = Bucket::from_store("gated", store.clone());
        let (dataset, schema) = create(&bucket, &batches[0].schema()).await;
        let options = WriterOptions { compression: Compression::None, ..WriterOptions::default() };
        let mut writer = DatasetWriter::new(&dataset, schema, options);
        store.hold(Some(op));
        for batch in batches {
            writer.write(batch).await.unwrap();
        }
        let mut finish = Box::pin(writer.finish());
        tokio::select! {
            _ = &mut finish => panic!("{op:?} is held, so it cannot end"),
            () = store.asked_for(op) => {}
        }
        drop(finish);
        store.hold(None);
        // What was under way must not come after the clean-up either.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(eventually(|| async { objects(&bucket).await.is_empty() }).await, "{op:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(objects(&bucket).await, Vec::<String>::new(), "{op:?}");
        assert_eq!(dataset.snapshot(At::Latest).await.unwrap().version, 1);
    }
}

#[tokio::test]
async fn giving_up_on_finish_after_any_number_of_polls_leaves_nothing() {
    let mut polls = 0;
    loop {
        let store = FaultStore::new(Arc::new(object_store::memory::InMemory::new()));
        let bucket = Bucket::from_store("polled", store.clone());
        let (dataset, schema) = create(&bucket, &numbers(0..0).schema()).await;
        let mut writer = DatasetWriter::new(&dataset, schema, small());
        writer.write(numbers(0..2500)).await.unwrap();
        let mut finish = Box::pin(writer.finish());
        let mut files = None;
        for _ in 0..polls {
            if let std::task::Poll::Ready(outcome) = futures::poll!(&mut finish) {
                files = Some(outcome.unwrap());
                break;
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        drop(finish);
        if let Some(files) = files {
            assert_eq!(objects(&bucket).await.len(), files.len());
            break;
        }
        assert!(eventually(|| async { objects(&bucket).await.is_empty() }).await, "after {polls} polls");
        polls += 1;
    }
    assert!(polls > 1, "it cannot end before its tasks have run");
}

#[tokio::test]
async fn giving_up_when_the_files_are_already_on_their_way_back_leaves_nothing() {
    let store = FaultStore::new(Arc::new(object_store::memory::InMemory::new()));
    let bucket = Bucket::from_store("answered", store.clone());
    let (dataset, schema) = create(&bucket, &numbers(0..0).schema()).await;
    let mut writer = DatasetWriter::new(&dataset, schema, WriterOptions::default());
    writer.write(numbers(0..10)).await.unwrap();
    store.hold(Some(Op::Put));
    let mut finish = Box::pin(writer.finish());
    tokio::select! {
        _ = &mut finish => panic!("a put is held, so it cannot end"),
        () = store.asked_for(Op::Put) => {}
    }
    // It has asked for the files, and gets them while it does not look.
    store.hold(None);
    assert!(eventually(|| async { objects(&bucket).await.len() == 1 }).await);
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(finish);
    assert!(eventually(|| async { objects(&bucket).await.is_empty() }).await);
}

#[tokio::test]
async fn a_writer_whose_write_was_given_up_cannot_go_on() {
    let store = FaultStore::new(Arc::new(object_store::memory::InMemory::new()));
    store.hold(Some(Op::Put));
    let bucket = Bucket::from_store("gated", store.clone());
    let (dataset, schema) = create(&bucket, &numbers(0..0).schema()).await;
    let mut writer = DatasetWriter::new(&dataset, schema, small());
    let mut write = Box::pin(writer.write(numbers(0..100_000)));
    tokio::select! {
        _ = &mut write => panic!("nothing can be uploaded"),
        () = store.asked_for(Op::Put) => {}
    }
    drop(write);
    store.hold(None);
    let error = writer.write(numbers(0..1)).await.unwrap_err();
    assert!(error.to_string().contains("given up"), "{error}");
    assert!(writer.finish().await.is_err());
    assert!(eventually(|| async { objects(&bucket).await.is_empty() }).await);
}

#[tokio::test]
async fn a_failing_bucket_ends_the_write_and_what_was_written_is_removed() {
    for (op, fault, kind) in [
        (Op::Put, Fault::OutOfSpace, ErrorKind::ResourceExhausted),
        (Op::Put, Fault::Unavailable, ErrorKind::Unavailable),
    ] {
        let store = FaultStore::new(Arc::new(object_store::memory::InMemory::new()));
        let bucket = Bucket::from_store("faulty", store.clone());
        let (dataset, schema) = create(&bucket, &numbers(0..0).schema()).await;
        let mut writer = DatasetWriter::new(&dataset, schema, small());
        writer.write(numbers(0..5000)).await.unwrap();
        assert!(eventually(|| async { objects(&bucket).await.len() >= 2 }).await);
        store.always(op, fault);
        let mut outcome = Ok(());
        for i in 1..50 {
            outcome = writer.write(numbers(i * 5000..(i + 1) * 5000)).await;
            if outcome.is_err() {
                break;
            }
        }
        let error = match outcome {
            Ok(()) => writer.finish().await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind(), kind, "{error}");
        store.heal();
        assert!(eventually(|| async { objects(&bucket).await.is_empty() }).await);
    }
}

#[tokio::test]
async fn a_multipart_upload_that_fails_leaves_nothing() {
    let schema = Arc::new(Schema::new(vec![Field::new("b", DataType::FixedSizeBinary(1024), false)]));
    let batch = noise(&schema);
    for op in [Op::Part, Op::Complete] {
        let store = FaultStore::new(Arc::new(object_store::memory::InMemory::new()));
        let bucket = Bucket::from_store("faulty", store.clone());
        let (dataset, ids) = create(&bucket, &schema).await;
        store.always(op, Fault::OutOfSpace);
        let options = WriterOptions { memory_bytes: 0, compression: Compression::None, ..WriterOptions::default() };
        let mut writer = DatasetWriter::new(&dataset, ids, options);
        let mut outcome = Ok(());
        for _ in 0..6 {
            outcome = outcome.and(writer.write(batch.clone()).await);
        }
        let error = match outcome {
            Ok(()) => writer.finish().await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{op:?}: {error}");
        assert!(eventually(|| async { objects(&bucket).await.is_empty() }).await);
    }
}

#[tokio::test]
async fn a_table_can_be_very_wide() {
    // Enough rows for several slabs, which must not become as many row groups.
    let fields: Vec<_> = (0..2000).map(|i| Field::new(format!("c{i}"), DataType::Int32, true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let columns = (0..2000).map(|i| Arc::new(Int32Array::from_iter_values(i..i + 2500)) as ArrayRef).collect();
    let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
    let (dataset, ids) = create(&Bucket::in_memory("memory"), &schema).await;
    let files = write_all(&dataset, &ids, &WriterOptions::default(), std::slice::from_ref(&batch)).await;
    assert_eq!((files[0].columns.len(), files[0].row_groups), (2000, 1));
    assert_same(&read_all(&dataset, &files).await.0, &batch);
}

#[tokio::test]
async fn one_long_value_passes() {
    let long = "x".repeat(20 << 20);
    let column: ArrayRef = Arc::new(StringArray::from(vec!["a", long.as_str(), "b"]));
    let batch = RecordBatch::try_from_iter([("s", column)]).unwrap();
    let (dataset, schema) = create(&Bucket::in_memory("memory"), &batch.schema()).await;
    let files = write_all(&dataset, &schema, &WriterOptions::default(), std::slice::from_ref(&batch)).await;
    let (found, _) = read_all(&dataset, &files).await;
    assert_eq!(found.column(0).as_ref(), batch.column(0).as_ref());
}

#[tokio::test]
async fn nested_nullability_may_differ_from_the_datasets() {
    let strict = DataType::List(Arc::new(Field::new("item", DataType::Int64, false)));
    let schema = Arc::new(Schema::new(vec![Field::new("l", strict, true)]));
    let (dataset, ids) = create(&Bucket::in_memory("memory"), &schema).await;
    let loose = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), Some(2)]), None, Some(vec![])]);
    let batch = RecordBatch::try_from_iter([("l", Arc::new(loose) as ArrayRef)]).unwrap();
    let files = write_all(&dataset, &ids, &WriterOptions::default(), &[batch]).await;
    let (found, _) = read_all(&dataset, &files).await;
    assert_eq!(found.schema().field(0).data_type(), ids.field(0).data_type());
    assert_eq!(found.column(0).null_count(), 1);
    let loose = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None])]);
    let batch = RecordBatch::try_from_iter([("l", Arc::new(loose) as ArrayRef)]).unwrap();
    let mut writer = DatasetWriter::new(&dataset, ids, WriterOptions::default());
    let error = writer.write(batch).await.unwrap_err();
    assert!(error.to_string().contains("column 'l.item'") && error.to_string().contains("row 0"), "{error}");
}
