//! Reading: from a descriptor to rows.

use std::sync::Arc;

use arrow::{
    array::{Int64Array, StringArray},
    datatypes::{DataType, Schema},
};
use arrow_flight::{
    Criteria, FlightDescriptor, IpcMessage,
    sql::{
        ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any, CommandGetTables,
        CommandPreparedStatementQuery, ProstMessageExt as _,
    },
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use prost::Message as _;
use tonic::Code;

use crate::support::{TestServer, batch, flight_data, numbers, path_descriptor, statement, table};

#[tokio::test]
async fn a_statement_is_answered() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    assert_eq!(client.rows("select 1 + 1 as two, 'x' as x").await.unwrap(), "2|x");
}

#[tokio::test]
async fn get_schema_is_the_streams_schema() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.upload(&["t"], &[numbers(3)]).await.unwrap();
    for descriptor in
        [statement("select n, 'x' as x from t"), path_descriptor(&["t"]), path_descriptor(&["public", "t"])]
    {
        let info = client.info(descriptor.clone()).await.unwrap();
        let announced = info.clone().try_decode_schema().unwrap();
        let request = client.request(descriptor);
        let answer = client.flight.get_schema(request).await.unwrap().into_inner();
        assert_eq!(Schema::try_from(IpcMessage(answer.schema)).unwrap(), announced);
        let batches = client.read(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
        assert_eq!(*batches[0].schema(), announced);
    }
}

#[tokio::test]
async fn an_empty_result_still_has_its_schema() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let info = client.plan("select 1 as a where false").await.unwrap();
    let mut stream = client.stream(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    assert!(stream.next().await.is_none());
    assert_eq!(stream.schema().unwrap().field(0).name(), "a");
}

#[tokio::test]
async fn a_command_may_be_plain_sql() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let info = client.info(FlightDescriptor::new_cmd("select 42")).await.unwrap();
    assert_eq!(table(&client.read(info.endpoint[0].ticket.clone().unwrap()).await.unwrap()), "42");
}

#[tokio::test]
async fn polling_is_done_at_once() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let poll = client.poll(statement("select 42")).await.unwrap();
    assert_eq!(poll.progress, Some(1.0));
    assert!(poll.flight_descriptor.is_none(), "nothing to poll again");
    let ticket = poll.info.unwrap().endpoint[0].ticket.clone().unwrap();
    assert_eq!(table(&client.read(ticket).await.unwrap()), "42");
}

#[tokio::test]
async fn datasets_are_listed_as_flights() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    for name in ["flights", "planes", "fl.ocks"] {
        client.upload(&[name], &[numbers(4)]).await.unwrap();
    }
    let list = async |client: &mut crate::support::Client, expression: &str| -> Vec<Vec<String>> {
        let request = client.request(Criteria { expression: expression.to_owned().into() });
        let stream = client.flight.list_flights(request).await.unwrap().into_inner();
        stream.map_ok(|info| info.flight_descriptor.unwrap().path).try_collect().await.unwrap()
    };
    assert_eq!(list(&mut client, "").await.len(), 3);
    let found = list(&mut client, "fl%").await;
    assert_eq!(found.len(), 2, "{found:?}");
    // What is listed can be read as it stands.
    for path in found {
        let path: Vec<_> = path.iter().map(String::as_str).collect();
        let info = client.info(path_descriptor(&path)).await.unwrap();
        let batches = client.read(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
        assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 4);
    }
}

#[tokio::test]
async fn a_long_result_comes_whole_and_in_order() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let total = 300_000i64;
    let batches: Vec<_> = (0..6)
        .map(|part| {
            let start = part * total / 6;
            let ids = Int64Array::from_iter_values(start..start + total / 6);
            let texts = StringArray::from_iter_values((start..start + total / 6).map(|n| format!("value {n}")));
            batch(vec![("id", Arc::new(ids)), ("text", Arc::new(texts))])
        })
        .collect();
    client.upload(&["long"], &batches).await.unwrap();
    let rows = client.query("select id, text from long order by id").await.unwrap();
    let mut next = 0;
    for batch in rows {
        let ids = batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
        for id in ids.values() {
            assert_eq!(*id, next);
            next += 1;
        }
    }
    assert_eq!(next, total);
}

#[tokio::test]
async fn text_is_sent_as_old_clients_read_it() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.upload(&["t"], &[batch(vec![("s", Arc::new(StringArray::from(vec!["a", "b"])))])]).await.unwrap();
    let batches = client.query("select s, s || '!' as t from t").await.unwrap();
    for field in batches[0].schema().fields() {
        assert_eq!(*field.data_type(), DataType::Utf8, "{}", field.name());
    }
}

#[tokio::test]
async fn a_prepared_statement_takes_parameters_in_their_numeric_order() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let places: Vec<_> = (1..=11).map(|n| format!("${n}")).collect();
    let query =
        format!("select {} as joined", places.iter().map(|p| format!("{p}::text")).collect::<Vec<_>>().join(" || "));
    let request = ActionCreatePreparedStatementRequest { query, transaction_id: None };
    let bodies = client.raw_action("CreatePreparedStatement", request.as_any().encode_to_vec()).await.unwrap();
    let prepared: ActionCreatePreparedStatementResult =
        Any::decode(bodies[0].clone()).unwrap().unpack().unwrap().unwrap();
    let handle = prepared.prepared_statement_handle;

    let command = CommandPreparedStatementQuery { prepared_statement_handle: handle.clone() };
    let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    let values: Vec<_> = (1..=11).map(|n| n.to_string()).collect();
    let columns = values
        .iter()
        .zip(&places)
        .map(|(value, place)| (place.as_str(), Arc::new(StringArray::from(vec![value.as_str()])) as _))
        .collect();
    let results = client.put(stream::iter(flight_data(descriptor.clone(), &[batch(columns)]))).await.unwrap();
    let bound = arrow_flight::sql::DoPutPreparedStatementResult::decode(results[0].app_metadata.clone()).unwrap();
    let command =
        CommandPreparedStatementQuery { prepared_statement_handle: bound.prepared_statement_handle.unwrap_or(handle) };
    let info = client.info(FlightDescriptor::new_cmd(command.as_any().encode_to_vec())).await.unwrap();
    let rows = client.read(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    assert_eq!(table(&rows), "1234567891011");
}

#[tokio::test]
async fn tables_are_listed_by_the_metadata_command() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.upload(&["flights"], &[numbers(1)]).await.unwrap();
    let command = CommandGetTables { table_name_filter_pattern: Some("fli%".into()), ..CommandGetTables::default() };
    let info = client.info(FlightDescriptor::new_cmd(command.as_any().encode_to_vec())).await.unwrap();
    let rows = table(&client.read(info.endpoint[0].ticket.clone().unwrap()).await.unwrap());
    assert!(rows.starts_with("skein|public|flights|"), "{rows}");
}

#[tokio::test]
async fn what_is_not_done_is_named() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    for sql in ["revoke select on t from me", "grant select on t to me"] {
        let status = client.update(sql).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{sql}: {status:?}");
        let word = sql.split(' ').next().unwrap().to_uppercase();
        assert!(status.message().to_uppercase().contains(&word), "{sql}: {}", status.message());
    }
}

#[tokio::test]
async fn mistakes_are_told_with_the_right_code() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.upload(&["flights"], &[numbers(1)]).await.unwrap();
    let cases = [
        ("selec 1", Code::InvalidArgument, "selec"),
        ("select 1; select 2", Code::InvalidArgument, "statement"),
        ("", Code::InvalidArgument, "empty"),
        ("select * from flihgts", Code::NotFound, "flights"),
        ("select missing from flights", Code::InvalidArgument, "missing"),
        ("select nonsense(1)", Code::InvalidArgument, "nonsense"),
        ("select 1 / 0", Code::InvalidArgument, "zero"),
        ("select cast('x' as int)", Code::InvalidArgument, "x"),
    ];
    for (sql, code, word) in cases {
        let status = client.query(sql).await.unwrap_err();
        assert_eq!(status.code(), code, "{sql}: {status:?}");
        assert!(status.message().to_lowercase().contains(word), "{sql}: {}", status.message());
        client.check_alive().await;
    }
}

#[tokio::test]
async fn a_query_is_on_record_with_its_rows() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.upload(&["t"], &[numbers(5)]).await.unwrap();
    client.query("select n as recorded from t").await.unwrap();
    let rows = client
        .rows("select principal, state, rows from system.queries where sql like 'select n as recorded%'")
        .await
        .unwrap();
    assert_eq!(rows, "anonymous|finished|5");
}

#[tokio::test]
async fn one_statement_can_read_several_versions_of_a_table() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let first = client.upload(&["t"], &[numbers(1)]).await.unwrap().version.unwrap();
    client.upload(&["t"], &[numbers(2)]).await.unwrap();
    // Scans of one table that differ in nothing but their version must not be taken for the same.
    let then = format!("select count(*) from t version as of {first}");
    let rows = client.rows(&format!("select ({then}) as a, (select count(*) from t) as b")).await.unwrap();
    assert_eq!(rows, "1|3");
    let rows = client.rows(&format!("{then} union all select count(*) from t order by 1")).await.unwrap();
    assert_eq!(rows, "1\n3");
}
