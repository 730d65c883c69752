//! Columns that the data does not have and the table has a default for.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{ArrayRef, Int64Array},
    datatypes::{DataType, Field, Schema},
};
use skein_catalog::{Actor, ColumnNotes, NewDataset, with_column_notes};
use skein_ingest::*;

use crate::support::*;

#[tokio::test]
async fn every_format_leaves_room_for_defaults() {
    let world = World::memory().await;
    let notes = ColumnNotes { default: Some("Ulm".to_owned()), ..ColumnNotes::default() };
    let city = with_column_notes(&Field::new("city", DataType::Utf8, false), &notes);
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true), city]));
    let new = NewDataset { name: name("t"), schema, bucket: None, properties: BTreeMap::new() };
    world.catalog.create_dataset(new, &Actor::new("ada")).await.unwrap();
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    world.put("t", IngestMode::Append, batch(vec![("id", ids)])).await.unwrap();
    world.file("t", IngestMode::Append, "id\n2\n", options("f.csv")).await.unwrap();
    world.file("t", IngestMode::Append, "{\"id\": 3}\n", options("f.json")).await.unwrap();
    world.file("t", IngestMode::Append, "{\"id\": 4, \"city\": \"Bern\"}\n", options("f.json")).await.unwrap();
    assert_eq!(world.column("t", "id").await, ["1", "2", "3", "4"]);
    assert_eq!(world.column("t", "city").await, ["Ulm", "Ulm", "Ulm", "Bern"]);
    // Clients see nothing of it.
    assert!(world.schema("t").await.fields().iter().all(|field| field.metadata().is_empty()));
    let refused = world.file("t", IngestMode::Append, "id,city\n5,\n", options("f.csv")).await.unwrap_err();
    assert!(refused.to_string().contains("city"), "{refused}");
}
