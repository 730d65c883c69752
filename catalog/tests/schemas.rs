//! A table is created while its schema is dropped, on servers of their own: whatever the order, nobody is told of a
//! table that is not there, and no table is in a schema that does not exist.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod support;

use proptest::{collection::vec, prelude::*};
use skein_catalog::{At, Catalog, CatalogOptions, Change, Dataset, Entry, Error, NewDataset, Result, ViewSpec};
use skein_model::{ErrorKind, Kind, TableName};
use skein_storage::fault::{Fault, Op};
use support::{ada, faulty, file, new_dataset, server};

const SCHEMA: &str = "sales";

fn inside(table: &str) -> TableName {
    TableName::new(SCHEMA, table).unwrap()
}

fn new(table: &str) -> NewDataset {
    NewDataset { name: inside(table), ..new_dataset(table) }
}

async fn pause(yields: u8) {
    for _ in 0..yields {
        tokio::task::yield_now().await;
    }
}

#[derive(Debug, Clone)]
struct Race {
    before_create: u8,
    before_drop: u8,
    cascade: bool,
    create_again: bool,
    faults: Vec<Option<Fault>>,
}

fn race() -> impl Strategy<Value = Race> {
    let fault = prop_oneof![6 => Just(None), 1 => Just(Some(Fault::LostAnswer)), 1 => Just(Some(Fault::Conflict))];
    (0..20_u8, 0..20_u8, any::<bool>(), any::<bool>(), vec(fault, 0..8)).prop_map(
        |(before_create, before_drop, cascade, create_again, faults)| Race {
            before_create,
            before_drop,
            cascade,
            create_again,
            faults,
        },
    )
}

async fn make(catalog: Catalog, yields: u8) -> Result<Dataset> {
    pause(yields).await;
    catalog.create_dataset(new("t"), &ada()).await
}

async fn unmake(catalog: Catalog, yields: u8, cascade: bool, again: bool) -> (Result<()>, bool) {
    pause(yields).await;
    let dropped = catalog.drop_schema(SCHEMA, cascade, &ada()).await;
    let again = again && dropped.is_ok() && catalog.create_schema(SCHEMA, &ada()).await.is_ok();
    (dropped, again)
}

async fn run(race: Race) {
    let (bucket, store) = faulty();
    let options = CatalogOptions::default;
    let (one, two) = (server(&bucket, options()).await, server(&bucket, options()).await);
    one.create_schema(SCHEMA, &ada()).await.unwrap();
    store.schedule(Op::Create, race.faults.clone());
    let (made, unmade) = tokio::join!(
        tokio::spawn(make(one, race.before_create)),
        tokio::spawn(unmake(two, race.before_drop, race.cascade, race.create_again)),
    );
    store.heal();
    let (made, (dropped, again)) = (made.unwrap(), unmade.unwrap());

    let cold = server(&bucket, options()).await;
    let schemas = cold.schemas().await.unwrap();
    let entries = cold.entries().await.unwrap();
    assert!(entries.iter().all(|(name, _)| schemas.iter().any(|s| s == name.schema())), "{entries:?} in {schemas:?}");
    assert_eq!(schemas.iter().any(|s| s == SCHEMA), dropped.is_err() || again);
    let found = cold.resolve_opt(&inside("t")).await.unwrap();
    assert_eq!(found.is_some(), entries.iter().any(|(name, _)| *name == inside("t")));
    match &made {
        Ok(dataset) if !race.cascade => {
            assert!(matches!(&found, Some(Entry::Dataset(seen)) if seen.id() == dataset.id()), "{race:?}: {dropped:?}");
            dataset.commit(Change::append(vec![file(1)]), &ada()).await.unwrap();
        }
        Ok(dataset) => {
            let gone = dataset.commit(Change::append(vec![file(1)]), &ada()).await.is_err();
            assert_eq!(found.is_none(), gone, "{race:?}: what is not found takes no rows");
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            assert!(found.is_none() && dropped.is_ok(), "{race:?}");
        }
    }
    if let Err(error) = &dropped {
        assert!(matches!(error, Error::InvalidInput(_)) && made.is_ok(), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_table_and_its_schema_agree(race in race()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(race));
    }
}

#[tokio::test]
async fn a_schema_of_the_same_name_starts_empty() {
    let (bucket, _) = faulty();
    let catalog = server(&bucket, CatalogOptions::default()).await;
    catalog.create_schema(SCHEMA, &ada()).await.unwrap();
    let table = catalog.create_dataset(new("t"), &ada()).await.unwrap();
    table.commit(Change::append(vec![file(3)]), &ada()).await.unwrap();
    let view = ViewSpec {
        sql: "select 1".into(),
        default_schema: SCHEMA.into(),
        created_by: "ada".into(),
        created_at: chrono::Utc::now(),
        schema: None,
    };
    catalog.create_view(&inside("v"), view, false, &ada()).await.unwrap();
    catalog.drop_schema(SCHEMA, true, &ada()).await.unwrap();
    catalog.create_schema(SCHEMA, &ada()).await.unwrap();
    assert!(catalog.entries().await.unwrap().is_empty());
    assert!(catalog.resolve_opt(&inside("v")).await.unwrap().is_none());
    assert_eq!(catalog.drop(&inside("t"), None, &ada()).await.unwrap_err().kind(), ErrorKind::NotFound);
    let again = catalog.create_dataset(new("t"), &ada()).await.unwrap();
    assert_ne!(again.id(), table.id());
    assert_eq!(again.snapshot(At::Latest).await.unwrap().rows, 0);
    assert_eq!(table.commit(Change::append(vec![file(1)]), &ada()).await.unwrap_err().kind(), ErrorKind::NotFound);
    catalog.drop(&inside("t"), None, &ada()).await.unwrap();
    catalog.drop_schema(SCHEMA, false, &ada()).await.unwrap();
}
