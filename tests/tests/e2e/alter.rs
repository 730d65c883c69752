//! Changes of columns, and declared keys, through the wire.

use arrow::{array::Int64Array, datatypes::DataType};
use arrow_flight::{
    FlightDescriptor,
    sql::{
        CommandGetCrossReference, CommandGetExportedKeys, CommandGetImportedKeys, CommandGetPrimaryKeys,
        ProstMessageExt,
    },
};
use prost::Message as _;
use skein_client::ConnectOptions;
use tonic::Code;

use crate::support::{Client, TestServer, batch, table};

async fn keys(client: &mut Client, command: &impl ProstMessageExt) -> String {
    let info = client.info(FlightDescriptor::new_cmd(command.as_any().encode_to_vec())).await.unwrap();
    table(&client.read(info.endpoint[0].ticket.clone().unwrap()).await.unwrap())
}

#[tokio::test]
async fn declared_keys_are_told() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.update("create table p (id bigint primary key)").await.unwrap();
    client.update("create table c (id bigint, p_id bigint references p on delete set null)").await.unwrap();
    let (p, c) = ("p".to_owned(), "c".to_owned());
    let primary = keys(&mut client, &CommandGetPrimaryKeys { table: p.clone(), ..Default::default() }).await;
    assert_eq!(primary, "skein|public|p|id|p_pkey|1");
    let expected = "skein|public|p|id|skein|public|c|p_id|1|c_p_id_fkey|p_pkey|3|2";
    assert_eq!(keys(&mut client, &CommandGetExportedKeys { table: p.clone(), ..Default::default() }).await, expected);
    assert_eq!(keys(&mut client, &CommandGetImportedKeys { table: c.clone(), ..Default::default() }).await, expected);
    let cross = CommandGetCrossReference { pk_table: p, fk_table: c, ..Default::default() };
    assert_eq!(keys(&mut client, &cross).await, expected);
}

#[tokio::test]
async fn what_was_made_before_an_alter_still_works_or_says_why_not() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.upload(&["t"], &[batch(vec![("a", std::sync::Arc::new(Int64Array::from(vec![1, 2])))])]).await.unwrap();
    let before = client.plan("select * from t order by a").await.unwrap();
    client.update("alter table t rename column a to b, add column c varchar default 'x'").await.unwrap();
    // The ticket names the version it was made for.
    assert_eq!(table(&client.read(before.endpoint[0].ticket.clone().unwrap()).await.unwrap()), "1\n2");
    assert_eq!(client.rows("select * from t order by b").await.unwrap(), "1|x\n2|x");
    // Uploads are matched by name with the columns of now.
    let rows = |column| batch(vec![(column, std::sync::Arc::new(Int64Array::from(vec![3])))]);
    let refused = client.upload(&["t"], &[rows("a")]).await.unwrap_err();
    assert!(refused.message().contains("'a'"), "{refused:?}");
    client.upload(&["t"], &[rows("b")]).await.unwrap();
    assert_eq!(client.rows("select * from t where b = 3").await.unwrap(), "3|x");
    let gone = client.rows("select a from t").await.unwrap_err();
    assert_eq!(gone.code(), Code::InvalidArgument);
    client.update("alter table t alter column b type decimal(22, 2)").await.unwrap();
    assert_eq!(
        client.rows("select sum(b), arrow_typeof(b) from t group by 2").await.unwrap(),
        "6.00|Decimal128(22, 2)"
    );
    let server = server.restart().await;
    assert_eq!(server.client().await.rows("select b, c from t order by b").await.unwrap(), "1.00|x\n2.00|x\n3.00|x");
}

#[tokio::test]
async fn a_prepared_statement_of_our_client_sees_the_new_columns() {
    let server = TestServer::start().await;
    let url = format!("grpc://{}", server.address());
    let client = skein_client::Client::connect(ConnectOptions::new(url)).await.unwrap();
    client.update("create table t as select 1 as a").await.unwrap();
    let query = client.prepare("select * from t").await.unwrap();
    let batches = query.query(()).await.unwrap().collect().await.unwrap();
    assert_eq!(batches[0].num_columns(), 1);
    client.update("alter table t add column b int default 2").await.unwrap();
    let batches = query.query(()).await.unwrap().collect().await.unwrap();
    assert_eq!((batches[0].num_columns(), batches[0].schema().field(1).data_type()), (2, &DataType::Int32));
}
