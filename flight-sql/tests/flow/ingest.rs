//! CommandStatementIngest, down to the server's ingest and to temporary tables.

use arrow_flight::sql::{CommandStatementIngest, TableDefinitionOptions};
use futures::{StreamExt, stream};
use skein_flight_sql::{Error, IngestMode, PutStream};
use skein_model::{ErrorKind, Kind};

use crate::support::{Fixture, count, failed, ints, nothing, upload};

fn ingest(table: &str) -> CommandStatementIngest {
    // Create, append.
    let options = TableDefinitionOptions { if_not_exist: 1, if_exists: 2 };
    CommandStatementIngest { table_definition_options: Some(options), table: table.into(), ..Default::default() }
}

#[tokio::test]
async fn rows_go_to_the_servers_ingest() {
    let f = Fixture::new().await;
    let batch = ints(&[1, 2, 3]);
    let command = CommandStatementIngest { options: [("bucket".into(), "b".into())].into(), ..ingest("t") };
    assert_eq!(count(f.put(&command, upload(vec![batch.clone(), batch.clone()])).await.unwrap()), 6);
    let seen = f.ingest.0.lock().unwrap();
    let (request, schema, rows, _) = &seen[0];
    assert_eq!((request.name.to_string().as_str(), request.mode, *rows), ("public.t", IngestMode::CreateAppend, 6));
    assert_eq!(request.options["bucket"], "b");
    assert_eq!(*schema, batch.schema());
}

#[tokio::test]
async fn names_are_resolved_and_checked() {
    let f = Fixture::new().await;
    let named = |schema: Option<&str>, catalog: Option<&str>| CommandStatementIngest {
        schema: schema.map(Into::into),
        catalog: catalog.map(Into::into),
        ..ingest("t")
    };
    for (command, kind) in [
        (ingest(""), ErrorKind::InvalidInput),
        (named(Some("system"), None), ErrorKind::InvalidInput),
        (named(None, Some("elsewhere")), ErrorKind::NotFound),
        (CommandStatementIngest { temporary: true, ..named(Some("public"), None) }, ErrorKind::InvalidInput),
        (CommandStatementIngest { transaction_id: Some("t".into()), ..ingest("t") }, ErrorKind::InvalidInput),
    ] {
        let error = failed(f.put(&command, upload(vec![ints(&[1])])).await);
        assert_eq!(error.kind(), kind, "{error}");
    }
    assert!(f.put(&ingest("t"), nothing()).await.is_err());
    f.put(&named(Some("public"), Some("skein")), upload(vec![ints(&[1])])).await.unwrap();
    assert_eq!(f.ingest.0.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn temporary_rows_stay_in_the_session() {
    let f = Fixture::new().await;
    let temporary = |exists: i32| CommandStatementIngest {
        temporary: true,
        table_definition_options: Some(TableDefinitionOptions { if_not_exist: 1, if_exists: exists }),
        ..ingest("scratch")
    };
    let rows = |values: &[i64]| upload(vec![ints(values)]);
    assert_eq!(count(f.put(&temporary(1), rows(&[1, 2])).await.unwrap()), 2);
    assert_eq!(failed(f.put(&temporary(1), rows(&[3])).await).kind(), ErrorKind::AlreadyExists);
    f.put(&temporary(2), rows(&[3])).await.unwrap();
    assert_eq!(f.query("select sum(\"0\") from scratch").await, ["6"]);
    f.put(&temporary(3), rows(&[9])).await.unwrap();
    assert_eq!(f.query("select \"0\" from scratch").await, ["9"]);
    let other = f.session_of("anonymous");
    let error = failed(f.sql.flight_info(&other, &crate::support::query("select * from scratch")).await);
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(f.ingest.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_upload_that_breaks_off_keeps_its_error() {
    let f = Fixture::new().await;
    for temporary in [false, true] {
        let batch = ints(&[1]);
        let broken = Err(Error::server(ErrorKind::Cancelled, "the client went away"));
        let upload = PutStream { schema: Some(batch.schema()), batches: stream::iter([Ok(batch), broken]).boxed() };
        let command = CommandStatementIngest { temporary, ..ingest("t") };
        let error = failed(f.put(&command, upload).await);
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Cancelled, "the client went away"));
    }
    assert!(failed(f.info(&crate::support::query("select * from t")).await).kind() == ErrorKind::NotFound);
}
