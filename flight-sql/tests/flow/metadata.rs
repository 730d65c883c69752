//! Every metadata command: the promised schema is the schema that comes.

use arrow::array::AsArray;
use arrow_flight::sql::{
    CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
    CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo,
};
use futures::TryStreamExt;

use crate::support::{Fixture, command, ints, schema_of};

#[tokio::test]
async fn each_command_is_answered_with_the_schema_it_promised() {
    let f = Fixture::new().await;
    let table = || "t".to_owned();
    let reads = [
        (command(&CommandGetCatalogs {}), 1),
        (command(&CommandGetTableTypes {}), 4),
        (command(&CommandGetPrimaryKeys { table: table(), ..Default::default() }), 0),
        (command(&CommandGetExportedKeys { table: table(), ..Default::default() }), 0),
        (command(&CommandGetImportedKeys { table: table(), ..Default::default() }), 0),
        (command(&CommandGetCrossReference { pk_table: table(), fk_table: table(), ..Default::default() }), 0),
        (command(&CommandGetSqlInfo { info: vec![0, 504] }), 2),
        (command(&CommandGetXdbcTypeInfo { data_type: Some(-5) }), 2),
    ];
    for (descriptor, expected) in reads {
        assert_eq!(f.read(&descriptor).await.unwrap().len(), expected, "{descriptor}");
    }
    assert!(f.read(&command(&CommandGetSqlInfo { info: vec![] })).await.unwrap().len() > 80);
    assert!(f.read(&command(&CommandGetXdbcTypeInfo { data_type: None })).await.unwrap().len() > 15);
}

#[tokio::test]
async fn declared_keys_are_told_in_the_order_of_the_specification() {
    let f = Fixture::new().await;
    f.query("create schema s").await;
    f.query("create table s.p (b int, a int, code varchar unique, primary key (a, b))").await;
    f.query("create table p (a int primary key)").await;
    f.query(
        "create table o (x int, y int, code varchar, foreign key (x, y) references s.p on delete cascade on update set default, \
         constraint by_code foreign key (code) references s.p (code) on delete restrict on update set null)",
    )
    .await;
    let named = |table: &str, schema: Option<&str>| (table.to_owned(), schema.map(str::to_owned));
    let primary = |(table, db_schema), catalog: Option<&str>| {
        command(&CommandGetPrimaryKeys { catalog: catalog.map(str::to_owned), db_schema, table })
    };
    let in_s = ["skein|s|p|a|p_pkey|1", "skein|s|p|b|p_pkey|2"];
    assert_eq!(f.read(&primary(named("p", Some("s")), Some("skein"))).await.unwrap(), in_s);
    let all = f.read(&primary(named("p", None), None)).await.unwrap();
    assert_eq!(all, [&["skein|public|p|a|p_pkey|1"][..], &in_s[..]].concat());
    assert!(f.read(&primary(named("p", None), Some("other"))).await.unwrap().is_empty());
    assert!(f.read(&primary(named("nosuch", None), None)).await.unwrap().is_empty());
    assert!(
        f.info(&primary(named("", None), None)).await.is_err()
            || f.read(&primary(named("", None), None)).await.is_err()
    );

    let by_code = "skein|s|p|code|skein|public|o|code|1|by_code|p_code_key|2|1";
    let by_key = ["a|skein|public|o|x|1", "b|skein|public|o|y|2"];
    let by_key = by_key.map(|columns| format!("skein|s|p|{columns}|o_x_y_fkey|p_pkey|4|0"));
    let expected = [by_code.to_owned(), by_key[0].clone(), by_key[1].clone()];
    let (table, db_schema) = named("p", Some("s"));
    let exported = command(&CommandGetExportedKeys { catalog: None, db_schema, table });
    assert_eq!(f.read(&exported).await.unwrap(), expected);
    let imported = command(&CommandGetImportedKeys { table: "o".to_owned(), ..Default::default() });
    assert_eq!(f.read(&imported).await.unwrap(), expected);
    let cross = |pk_db_schema: Option<&str>| {
        let pk_db_schema = pk_db_schema.map(str::to_owned);
        let (pk_table, fk_table) = ("p".to_owned(), "o".to_owned());
        command(&CommandGetCrossReference { pk_db_schema, pk_table, fk_table, ..Default::default() })
    };
    assert_eq!(f.read(&cross(Some("s"))).await.unwrap(), expected);
    assert!(f.read(&cross(Some("public"))).await.unwrap().is_empty());

    f.query("alter table s.p rename column code to isbn").await;
    f.query("alter table s.p drop constraint p_pkey").await;
    let told = f.read(&imported).await.unwrap();
    assert_eq!(told[2], "skein|s|p|isbn|skein|public|o|code|1|by_code|p_code_key|2|1");
    assert!(told[0].contains("|o_x_y_fkey||4|0") || told[0].contains("|o_x_y_fkey|NULL|4|0"), "{told:?}");
    f.query("drop table s.p").await;
    assert!(f.read(&imported).await.unwrap().is_empty() && f.read(&exported).await.unwrap().is_empty());
}

#[tokio::test]
async fn schemas_and_tables_follow_what_is_created() {
    let f = Fixture::new().await;
    f.query("create schema sales").await;
    f.query("create table sales.orders (id bigint not null, price decimal(12, 2), note varchar)").await;
    f.query("create view v as select 1 as a").await;
    let batch = ints(&[1]);
    f.session.put_temp_table("scratch", batch.schema(), vec![batch], skein_query::TempMode::Create).await.unwrap();

    let schemas =
        f.read(&command(&CommandGetDbSchemas { catalog: None, db_schema_filter_pattern: None })).await.unwrap();
    assert!(schemas.is_sorted() && schemas.contains(&"skein|sales".to_owned()), "{schemas:?}");
    let tables = |types: &[&str]| CommandGetTables {
        table_types: types.iter().map(|&t| t.to_owned()).collect(),
        ..Default::default()
    };
    assert_eq!(f.read(&command(&tables(&["TABLE"]))).await.unwrap(), ["skein|sales|orders|TABLE"]);
    assert_eq!(f.read(&command(&tables(&["VIEW"]))).await.unwrap(), ["skein|public|v|VIEW"]);
    let temporary = f.read(&command(&tables(&["LOCAL TEMPORARY"]))).await.unwrap();
    assert_eq!(temporary, ["skein|temp|scratch|LOCAL TEMPORARY"]);
    assert!(!f.read(&command(&tables(&["SYSTEM TABLE"]))).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_tables_schema_comes_with_column_metadata_and_safe_types() {
    let f = Fixture::new().await;
    f.query("create table t (id bigint not null, price decimal(12, 2), note varchar)").await;
    let command = command(&CommandGetTables {
        table_name_filter_pattern: Some("t".into()),
        table_types: vec!["TABLE".into()],
        include_schema: true,
        ..Default::default()
    });
    let info = f.info(&command).await.unwrap();
    let batches: Vec<_> = f.open(&info).await.unwrap().stream.try_collect().await.unwrap();
    assert_eq!(batches[0].num_rows(), 1);
    let schema = schema_of(&batches[0].column(4).as_binary::<i32>().value(0).to_vec().into());
    assert_eq!(schema.field(2).data_type(), &arrow_schema::DataType::Utf8);
    assert!(!schema.field(0).is_nullable());
    let price = schema.field(1).metadata();
    assert_eq!(price["ARROW:FLIGHT:SQL:PRECISION"], "12");
    assert_eq!(price["ARROW:FLIGHT:SQL:TABLE_NAME"], "t");
    assert!(!schema.fields().iter().any(|field| field.metadata().keys().any(|key| key.starts_with("PARQUET"))));
}

#[tokio::test]
async fn every_system_table_has_a_schema() {
    let f = Fixture::new().await;
    let command = command(&CommandGetTables { include_schema: true, ..Default::default() });
    let info = f.info(&command).await.unwrap();
    let batches: Vec<_> = f.open(&info).await.unwrap().stream.try_collect().await.unwrap();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let schema = schema_of(&batch.column(4).as_binary::<i32>().value(row).to_vec().into());
            assert!(!schema.fields().is_empty(), "{}", batch.column(2).as_string::<i32>().value(row));
        }
    }
}
