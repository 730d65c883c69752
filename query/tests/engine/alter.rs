//! ALTER TABLE: columns and keys change, files stay.

use skein_catalog::{Actor, maintenance};
use skein_model::{ErrorKind, TableName};
use skein_query::{EngineConfig, Pins};

use crate::support::{Fixture, config, run};

async fn people() -> Fixture {
    let fixture = Fixture::memory().await;
    fixture.update("create table t (id int not null, name varchar)").await;
    fixture.update("insert into t values (1, 'ada'), (2, 'bob')").await;
    fixture
}

fn t() -> TableName {
    TableName::in_default_schema("t").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_column_is_its_default_in_old_rows() {
    let fixture = people().await;
    let before = fixture.rows("select key from system.files").await;
    fixture.update("alter table t add column age int, add score double default 0.5").await;
    fixture.update("alter table t add column if not exists age varchar").await;
    fixture.update("alter table t add column city varchar not null default 'Ulm'").await;
    assert_eq!(fixture.rows("select key from system.files").await, before, "no file was written");
    assert_eq!(fixture.rows("select * from t order by id").await, ["1|ada|NULL|0.5|Ulm", "2|bob|NULL|0.5|Ulm"]);
    fixture.update("insert into t (id, age) values (3, 30)").await;
    fixture.update("insert into t values (4, 'dan', null, null, 'Bern')").await;
    fixture.update("insert into t (id) select 5").await;
    let rows = ["1|NULL|0.5|Ulm", "2|NULL|0.5|Ulm", "3|30|0.5|Ulm", "4|NULL|NULL|Bern", "5|NULL|0.5|Ulm"];
    assert_eq!(fixture.rows("select id, age, score, city from t order by id").await, rows);
    assert_eq!(fixture.rows("select id from t where city = 'Ulm' and age is null order by id").await, ["1", "2", "5"]);
    assert_eq!(fixture.rows("select count(*) from t where score > 0.4").await, ["4"]);
    assert_eq!(fixture.rows("select min(city), count(age), sum(score) from t").await, ["Bern|1|2.0"]);
    assert_eq!(fixture.rows("select city from t where id = 1").await, ["Ulm"]);
    // What is asked of the past has the columns of the past.
    assert_eq!(fixture.rows("select * from t version as of 2 order by id").await, ["1|ada", "2|bob"]);
    fixture.update("alter table t alter column age set default 18, alter column city drop default").await;
    fixture.update("alter table t alter city drop not null").await;
    fixture.update("insert into t (id) values (6)").await;
    assert_eq!(fixture.rows("select age, city from t where id = 6").await, ["18|NULL"]);
    let defaults = "select column_name, column_default from system.columns where column_default is not null order by 1";
    assert_eq!(fixture.rows(defaults).await, ["age|18", "score|0.5"]);
    assert_eq!(fixture.rows("select age, city from t where id = 1").await, ["NULL|Ulm"], "old rows stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_dropped_and_added_again_is_another_one() {
    let fixture = people().await;
    fixture.update("alter table t drop column name").await;
    assert_eq!(fixture.rows("select * from t order by id").await, ["1", "2"]);
    assert_eq!(fixture.error("select name from t").await.0, ErrorKind::InvalidInput);
    fixture.update("alter table t add column name varchar").await;
    fixture.update("insert into t values (3, 'cas')").await;
    assert_eq!(fixture.rows("select * from t order by id").await, ["1|NULL", "2|NULL", "3|cas"]);
    assert!(fixture.rows("select id from t where name = 'ada'").await.is_empty());
    assert_eq!(fixture.rows("select id from t where name is null order by id").await, ["1", "2"]);
    fixture.update("alter table t drop column if exists nosuch, drop column if exists name").await;
    assert_eq!(fixture.rows("select count(*) from t").await, ["3"]);
    assert_eq!(fixture.rows("select * from t version as of 2 order by id").await, ["1|ada", "2|bob"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn renamed_columns_are_found_by_their_id() {
    let fixture = people().await;
    fixture.update("alter table t rename column name to \"Name\"").await;
    fixture.update("insert into t values (3, 'cas')").await;
    assert_eq!(fixture.rows("select id from t where \"Name\" = 'bob'").await, ["2"]);
    assert_eq!(fixture.rows("select id from t where \"Name\" >= 'bob' order by id").await, ["2", "3"]);
    // Names change places; the files go by ids.
    fixture.update("alter table t add column x int default 7").await;
    fixture.update("alter table t rename x to y, rename id to x, rename y to id").await;
    assert_eq!(fixture.rows("select x, \"Name\", id from t order by x").await, ["1|ada|7", "2|bob|7", "3|cas|7"]);
    assert_eq!(fixture.rows("select \"Name\" from t where id = 7 and x = 2").await, ["bob"]);
    assert!(fixture.rows("select x from t where id = 2").await.is_empty());
    assert_eq!(fixture.rows("select column_name from system.columns order by position").await, ["x", "Name", "id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wider_types_read_old_files() {
    let fixture = Fixture::memory().await;
    fixture
        .update(
            "create table t as select arrow_cast(v, 'Int16') as i, arrow_cast(v, 'UInt8') as u, arrow_cast(v / 2.0, 'Float32') as f, \
             arrow_cast(v, 'Decimal128(6, 2)') as d, arrow_cast(v, 'Timestamp(Second, None)') as s, arrow_cast(v, 'Date32') as day \
             from generate_series(1, 9) as g(v)",
        )
        .await;
    let sum = "select sum(i), sum(u), sum(f), sum(d), max(s), max(day), count(*) from t";
    let before = fixture.rows(sum).await;
    fixture
        .update(
            "alter table t alter i type bigint, alter u set data type int, alter f type double, alter d type decimal(12, 4), \
             alter s type timestamp(3), alter day type timestamp(3)",
        )
        .await;
    let types = "select data_type from system.columns order by position";
    let expected = ["int64", "int32", "float64", "decimal128[12, 4]", "timestamp[ms]", "timestamp[ms]"];
    assert_eq!(fixture.rows(types).await, expected);
    let after = fixture.rows(sum).await;
    let day = before[0].replace("45.00", "45.0000").replace("1970-01-10", "1970-01-10T00:00:00");
    assert_eq!(after, [day]);
    fixture
        .update("insert into t values (5000000000, 100000, 0.1, 12345678.1234, '2024-05-01T00:00:00.123', now())")
        .await;
    for (query, expected) in [
        ("select count(*) from t where i > 4", "6"),
        ("select i from t where i = 5000000000", "5000000000"),
        ("select count(*) from t where u = 9", "1"),
        ("select count(*) from t where u > 300", "1"),
        ("select count(*) from t where f < 1", "2"),
        ("select count(*) from t where d = 3.0000", "1"),
        ("select count(*) from t where s >= '1970-01-01T00:00:08'", "3"),
        ("select count(*) from t where s < '1970-01-01T00:00:08.500'", "8"),
        ("select count(*) from t where day < '1970-01-05'", "3"),
        ("select max(i), min(u) from t", "5000000000|1"),
    ] {
        assert_eq!(fixture.rows(query).await, [expected], "{query}");
    }
    for sql in [
        "alter table t alter i type int",
        "alter table t alter f type decimal(10, 2)",
        "alter table t alter d type decimal(12, 6)",
        "alter table t alter i type varchar",
        "alter table t alter s type timestamp(0)",
    ] {
        let (kind, message) = fixture.error(sql).await;
        assert_eq!(kind, ErrorKind::InvalidInput, "{sql}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn not_null_is_checked_against_the_rows() {
    let fixture = people().await;
    fixture.update("insert into t values (3, null)").await;
    let (kind, message) = fixture.error("alter table t alter column name set not null").await;
    assert_eq!((kind, message.contains("'name'")), (ErrorKind::InvalidInput, true), "{message}");
    fixture.update("delete from t where name is null").await;
    fixture.update("insert into t values (4, 'x'), (5, null)").await;
    assert_eq!(fixture.error("alter table t alter column name set not null").await.0, ErrorKind::InvalidInput);
    // The null is deleted from a file that stays.
    fixture.update("delete from t where id = 5").await;
    fixture.update("alter table t alter column name set not null").await;
    assert_eq!(fixture.error("insert into t (id) values (6)").await.0, ErrorKind::InvalidInput);
    assert_eq!(fixture.rows("select nullable from system.columns order by position").await, ["false", "false"]);
    assert_eq!(fixture.rows("select name from t order by id").await, ["ada", "bob", "x"]);
    fixture.update("alter table t alter column name drop not null").await;
    fixture.update("insert into t (id) values (6)").await;
    let (kind, message) = fixture.error("alter table t add column c int not null").await;
    assert_eq!((kind, message.contains("DEFAULT")), (ErrorKind::InvalidInput, true), "{message}");
    fixture.update("delete from t").await;
    fixture.update("alter table t add column c int not null").await;
    fixture.update("insert into t values (1, 'a', 2)").await;
    assert_eq!(fixture.rows("select * from t").await, ["1|a|2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_old_files_can_be_changed() {
    let fixture = people().await;
    fixture.update("insert into t values (3, 'cas'), (4, 'dan')").await;
    fixture.update("delete from t where id = 3").await;
    fixture
        .update("alter table t add column n bigint default 1, rename column name to who, alter id type bigint")
        .await;
    assert_eq!(fixture.update("update t set n = n + id where who <> 'bob'").await, Some(2));
    assert_eq!(fixture.update("delete from t where n = 1 and who = 'bob'").await, Some(1));
    assert_eq!(fixture.rows("select id, who, n from t order by id").await, ["1|ada|2", "4|dan|5"]);
    let merge = "merge into t using (values (4, 40), (9, 90)) as s (k, v) on t.id = s.k \
                 when matched then update set n = s.v when not matched then insert (id) values (s.k)";
    assert_eq!(fixture.update(merge).await, Some(2));
    assert_eq!(fixture.rows("select id, who, n from t order by id").await, ["1|ada|2", "4|dan|40", "9|NULL|1"]);
    let compacted = fixture.engine.compact(&t(), &Actor::new("ada")).await.unwrap();
    assert!(compacted.version.is_some() && compacted.files_after == 1, "{compacted:?}");
    assert_eq!(fixture.rows("select id, who, n from t order by id").await, ["1|ada|2", "4|dan|40", "9|NULL|1"]);
    assert_eq!(fixture.rows("select * from t version as of 4 order by id").await, ["1|ada", "2|bob", "4|dan"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_knows_that_old_files_have_other_columns() {
    let fixture = people().await;
    fixture.update("alter table t add column n bigint default 1, alter id type bigint, drop column name").await;
    fixture.update("insert into t values (3, 3)").await;
    let catalog = fixture.engine.catalog();
    let report = maintenance::verify(catalog, maintenance::VerifyOptions { deep: true, table: None }).await.unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
    let skein_catalog::Entry::Dataset(dataset) = catalog.resolve(&t()).await.unwrap() else { panic!("a dataset") };
    let report = maintenance::resync(&dataset, &Actor::new("ada")).await.unwrap();
    assert!(report.corrected.is_empty() && report.problems.is_empty() && report.version.is_none(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hot_cache_gives_the_same_answers() {
    let fixture = Fixture::local_with(EngineConfig { hot_cache_bytes: 64 << 20, ..config() }).await;
    fixture
        .update(
            "create table t as select arrow_cast(v, 'Int32') as a, 'x' || v as b from generate_series(1, 1000) as g(v)",
        )
        .await;
    fixture.engine.pin(&t()).await.unwrap();
    let queries = ["select sum(a), min(b) from t", "select count(*) from t where b = 'x7'"];
    for query in queries {
        fixture.rows(query).await;
    }
    fixture.update("alter table t rename b to c, alter a type bigint, add column b varchar default 'new'").await;
    for pinned in [false, true] {
        if pinned {
            fixture.engine.pin(&t()).await.unwrap();
        }
        assert_eq!(fixture.rows("select sum(a), min(c), max(b) from t").await, ["500500|x1|new"]);
        assert_eq!(fixture.rows("select a from t where c = 'x7' and b = 'new'").await, ["7"]);
        assert!(fixture.rows("select a from t where b = 'x7'").await.is_empty());
    }
    let plan = fixture.rows("explain select sum(a), max(b) from t").await.join(" ");
    assert!(plan.contains("hot cache"), "{plan}");
    assert_eq!(fixture.rows("select sum(a), min(b) from t version as of 2").await, ["500500|x1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_prepared_before_work_or_say_why_not() {
    let fixture = people().await;
    let insert = fixture.plan("insert into t values (7, 'gil')").await.unwrap();
    let update = fixture.plan("update t set name = 'x' where id = 1").await.unwrap();
    let query = fixture.plan("select * from t order by id").await.unwrap();
    fixture.update("create view v as select id, name from t").await;
    fixture.update("alter table t drop column name, add column other varchar").await;
    for plan in [insert, update] {
        let error = plan.execute_update().await.unwrap_err().to_string();
        assert!(error.contains("prepare it again"), "{error}");
    }
    assert_eq!(run(&query).await.unwrap(), ["1|ada", "2|bob"], "it reads the version it was planned for");
    assert!(!query.is_current().await);
    assert!(fixture.error("select * from v").await.1.contains("name"));
    fixture.update("alter table t rename other to name").await;
    assert_eq!(fixture.rows("select * from v order by id").await, ["1|NULL", "2|NULL"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_gets_another_name() {
    let fixture = people().await;
    fixture.update("create schema s").await;
    fixture.update("create table taken (a int)").await;
    assert_eq!(fixture.error("alter table t rename to taken").await.0, ErrorKind::AlreadyExists);
    fixture.update("alter table t rename to u").await;
    assert_eq!(fixture.error("select * from t").await.0, ErrorKind::NotFound);
    fixture.update("insert into u values (3, 'cas')").await;
    fixture.update("alter table u rename to s.u").await;
    assert_eq!(fixture.rows("select count(*) from s.u").await, ["3"]);
    fixture.update("alter table s.u rename to w").await;
    assert_eq!(fixture.rows("select count(*) from s.w version as of 2").await, ["2"]);
    assert_eq!(fixture.rows("select table_name from system.datasets order by 1").await, ["taken", "w"]);
    fixture.update("create table t (a int)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_altered_says_so() {
    let fixture = people().await;
    fixture.update("create view v as select 1 as a").await;
    fixture.update("create temporary table tmp as select 1 as a").await;
    for (sql, kind, part) in [
        ("alter table nosuch add column c int", ErrorKind::NotFound, "nosuch"),
        ("alter table v add column c int", ErrorKind::InvalidInput, "is a view"),
        ("alter table v rename to w", ErrorKind::InvalidInput, "is a view"),
        ("alter table system.users add column c int", ErrorKind::InvalidInput, "system"),
        ("alter table tmp add column c int", ErrorKind::Unimplemented, "temporary"),
        ("alter table t add column id int", ErrorKind::AlreadyExists, "'id'"),
        ("alter table t drop column nosuch", ErrorKind::NotFound, "'nosuch'"),
        ("alter table t rename column id to name", ErrorKind::AlreadyExists, "'name'"),
        ("alter table t drop column id, drop column name", ErrorKind::InvalidInput, "only column"),
        ("alter table t add column c int default 'many'", ErrorKind::InvalidInput, "'c'"),
        ("alter table t add column c int default id", ErrorKind::InvalidInput, "'id'"),
        ("alter table t add column c double default random()", ErrorKind::Unimplemented, "constant"),
        ("alter table t add column c int[] default [1]", ErrorKind::Unimplemented, "default"),
        ("alter table t add column c int check (c > 0)", ErrorKind::Unimplemented, "CHECK"),
        ("alter table t rename to u, add column c int", ErrorKind::Unimplemented, "RENAME"),
    ] {
        let (found, message) = fixture.error(sql).await;
        assert_eq!(found, kind, "{sql}: {message}");
        assert!(message.contains(part), "{sql}: {message}");
    }
    fixture.update("alter table if exists nosuch add column c int").await;
    assert_eq!(fixture.rows("select * from t order by id").await, ["1|ada", "2|bob"]);
}

/// Whatever a transaction does to columns is there for its own statements at once, and for others with the commit.
#[tokio::test(flavor = "multi_thread")]
async fn columns_change_in_a_transaction() {
    let fixture = people().await;
    let other = fixture.new_session();
    let other_rows = async |sql: &str| run(&other.plan(sql, &Pins::new()).await.unwrap()).await.unwrap();
    let all = "select * from t order by id";
    fixture.update("begin").await;
    fixture.update("alter table t add column age int default 30, alter column name set not null").await;
    fixture.update("insert into t (id, name) values (3, 'cas')").await;
    assert_eq!(fixture.rows(all).await, ["1|ada|30", "2|bob|30", "3|cas|30"]);
    assert_eq!(other_rows(all).await, ["1|ada", "2|bob"]);
    fixture.update("alter table t rename column name to who, alter id type bigint").await;
    fixture.update("update t set age = 31 where who = 'ada'").await;
    fixture.update("delete from t where id = 2").await;
    fixture.update("alter table t alter column age set default 40").await;
    fixture.update("insert into t (id, who) values (5000000000, 'dan')").await;
    let after = ["1|ada|31", "3|cas|30", "5000000000|dan|40"];
    assert_eq!(fixture.rows(all).await, after);
    assert_eq!(fixture.rows("select id from t where age = 30").await, ["3"]);
    assert_eq!(fixture.error("select name from t").await.0, ErrorKind::InvalidInput);
    assert_eq!(fixture.error("insert into t (id) values (4)").await.0, ErrorKind::InvalidInput, "who is NOT NULL");
    assert_eq!(other_rows(all).await, ["1|ada", "2|bob"]);
    fixture.update("commit").await;
    for rows in [fixture.rows(all).await, other_rows(all).await] {
        assert_eq!(rows, after);
    }
    assert_eq!(fixture.rows("select * from t version as of 2 order by id").await, ["1|ada", "2|bob"]);
    assert_eq!(fixture.rows("select max(version) from system.snapshots").await, ["3"], "one version");
    let columns = "select column_name, data_type, nullable, column_default from system.columns order by position";
    assert_eq!(fixture.rows(columns).await, ["id|int64|false|NULL", "who|utf8|false|NULL", "age|int32|true|40"]);
    fixture.update("alter table t drop column age").await;
    assert_eq!(fixture.rows(all).await, ["1|ada", "3|cas", "5000000000|dan"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_changed_in_a_transaction_can_be_taken_back() {
    let fixture = people().await;
    let all = "select * from t order by id";
    for how in ["rollback", "rollback to mark"] {
        fixture.update("begin").await;
        fixture.update("savepoint mark").await;
        fixture.update("alter table t drop column name, add column age int default 1").await;
        fixture.update("insert into t values (3, 3)").await;
        assert_eq!(fixture.rows(all).await, ["1|1", "2|1", "3|3"]);
        fixture.update(how).await;
        assert_eq!(fixture.rows(all).await, ["1|ada", "2|bob"], "{how}");
    }
    // Another column of the same number, in the place of the one that was taken back.
    fixture.update("alter table t add column city varchar default 'Ulm'").await;
    assert_eq!(fixture.rows(all).await, ["1|ada|Ulm", "2|bob|Ulm"]);
    fixture.update("commit").await;
    assert_eq!(fixture.rows(all).await, ["1|ada|Ulm", "2|bob|Ulm"]);
    // Another name, and a table that the transaction has made.
    fixture.update("begin").await;
    fixture.update("alter table t rename to u").await;
    fixture.update("insert into u values (3, 'cas', 'Bern')").await;
    assert_eq!(fixture.error("select * from t").await.0, ErrorKind::NotFound);
    fixture.update("create table t as select id from u").await;
    assert_eq!(fixture.rows("select count(*) from t join u on t.id = u.id").await, ["3"]);
    fixture.update("rollback").await;
    assert_eq!(fixture.rows(all).await, ["1|ada|Ulm", "2|bob|Ulm"]);
    fixture.update("begin").await;
    fixture.update("create table made as select 1 as a").await;
    fixture.update("alter table made add column b int not null default 2").await;
    fixture.update("alter table t add column n int").await;
    fixture.update("alter table made rename to better").await;
    assert_eq!(fixture.rows("select better.*, n from better join t on better.a = t.id").await, ["1|2|NULL"]);
    fixture.update("commit").await;
    assert_eq!(fixture.rows("select * from better").await, ["1|2"]);
    let report = maintenance::verify(fixture.engine.catalog(), Default::default()).await.unwrap();
    assert_eq!(report.findings, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_of_two_transactions_that_change_columns_is_told() {
    let fixture = people().await;
    let other = fixture.new_session();
    let theirs = async |sql: &str| other.plan(sql, &Pins::new()).await.unwrap().execute_update().await.unwrap();
    for (mine, changes, kept) in [
        ("alter table t add column a int", "alter table t add column b int", "id, name, b"),
        ("alter table t alter column name set not null", "insert into t (id, name) values (3, null)", "id, name, b"),
        ("alter table t drop column b", "create or replace table t as select 1 as id", "id"),
    ] {
        fixture.update("begin").await;
        fixture.update(mine).await;
        theirs(changes).await;
        let (kind, message) = fixture.error("commit").await;
        assert_eq!(kind, ErrorKind::Conflict, "{mine}: {message}");
        let columns = fixture.rows("select column_name from system.columns order by position").await;
        assert_eq!(columns.join(", "), kept, "{mine}");
    }
    // Rows that fit join.
    fixture.update("begin").await;
    fixture.update("alter table t add column c int default 5, alter column id set not null").await;
    theirs("insert into t values (2)").await;
    fixture.update("commit").await;
    assert_eq!(fixture.rows("select * from t order by id").await, ["1|5", "2|5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_declared_and_not_enforced() {
    let fixture = Fixture::memory().await;
    fixture
        .update("create table c (id int primary key, code varchar unique not enforced, note varchar default 'none')")
        .await;
    fixture
        .update(
            "create table o (n int, c_id int references c on delete cascade, code varchar, constraint o_pk primary key (n, c_id), \
             foreign key (code) references c (code) on update set null)",
        )
        .await;
    fixture.update("insert into c (id) values (1), (1)").await;
    assert_eq!(fixture.rows("select id, note, count(*) from c group by id, note").await, ["1|none|2"], "twice");
    assert_eq!(fixture.rows("select count(*) from c a join c b on a.id = b.id").await, ["4"]);
    assert_eq!(fixture.rows("select count(distinct id), count(*) from (select distinct id from c)").await, ["1|1"]);
    assert_eq!(fixture.error("insert into c (code) values ('x')").await.0, ErrorKind::InvalidInput, "no null in a key");
    let all = "select table_name, constraint_name, constraint_type, position, column_name, referenced_table, referenced_column, on_update, \
               on_delete, enforced from system.constraints order by 1, 2, 4";
    let declared = [
        "c|c_code_key|UNIQUE|1|code|NULL|NULL|NULL|NULL|false",
        "c|c_pkey|PRIMARY KEY|1|id|NULL|NULL|NULL|NULL|false",
        "o|o_c_id_fkey|FOREIGN KEY|1|c_id|c|id|NO ACTION|CASCADE|false",
        "o|o_code_fkey|FOREIGN KEY|1|code|c|code|SET NULL|NO ACTION|false",
        "o|o_pk|PRIMARY KEY|1|n|NULL|NULL|NULL|NULL|false",
        "o|o_pk|PRIMARY KEY|2|c_id|NULL|NULL|NULL|NULL|false",
    ];
    assert_eq!(fixture.rows(all).await, declared);
    let shown = fixture.rows("show create table o").await.remove(0);
    for part in [
        r#"CONSTRAINT "o_pk" PRIMARY KEY ("n", "c_id") NOT ENFORCED"#,
        r#"FOREIGN KEY ("code") REFERENCES "public"."c" ("code") ON UPDATE SET NULL NOT ENFORCED"#,
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    // The statement makes the same table again.
    let made = fixture.rows("show create table c").await.remove(0);
    let statement = made.splitn(4, '|').nth(3).unwrap().replace("\"c\"", "\"again\"");
    fixture.update(&statement).await;
    fixture.update("insert into again (id, code) values (1, 'x')").await;
    assert_eq!(fixture.rows("select * from again").await, ["1|x|none"]);
    fixture.update("drop table again").await;
    let constraints = "select constraint_name, constraint_type, enforced from information_schema.table_constraints where table_name = 'c' \
                       order by 1";
    assert_eq!(fixture.rows(constraints).await, ["c_code_key|UNIQUE|NO", "c_pkey|PRIMARY KEY|NO"]);
    let usage = "select column_name, ordinal_position from information_schema.key_column_usage where constraint_name = 'o_pk' order by 2";
    assert_eq!(fixture.rows(usage).await, ["n|1", "c_id|2"]);
    // Names may change on both ends; columns of a key stay.
    fixture.update("alter table c rename column id to key").await;
    fixture.update("alter table c rename to customers").await;
    let foreign =
        "select referenced_table, referenced_column from system.constraints where constraint_name = 'o_c_id_fkey'";
    assert_eq!(fixture.rows(foreign).await, ["customers|key"]);
    for sql in ["alter table customers drop column key", "alter table customers alter key drop not null"] {
        assert_eq!(fixture.error(sql).await.0, ErrorKind::InvalidInput, "{sql}");
    }
    fixture.update("alter table o drop constraint o_pk, drop constraint if exists nosuch").await;
    fixture.update("alter table o drop column c_id cascade").await;
    fixture.update("alter table o add primary key (n), add constraint u unique (n, code)").await;
    assert_eq!(
        fixture.rows("select constraint_name from system.constraints where table_name = 'o' order by 1").await,
        ["o_code_fkey", "o_pkey", "u", "u"]
    );
    // What a foreign key refers to may go: then nothing is said of it.
    fixture.update("drop table customers").await;
    assert_eq!(
        fixture.rows("select count(*) from system.constraints where constraint_type = 'FOREIGN KEY'").await,
        ["0"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_make_no_sense_are_refused() {
    let fixture = people().await;
    fixture.update("insert into t values (3, null)").await;
    fixture.update("create view v as select 1 as a").await;
    for (sql, kind) in [
        ("create table x (a int primary key, b int primary key)", ErrorKind::InvalidInput),
        ("create table x (a int, primary key (b))", ErrorKind::NotFound),
        ("create table x (a int, primary key (a, a))", ErrorKind::InvalidInput),
        ("create table x (a int references nosuch)", ErrorKind::NotFound),
        ("create table x (a int references v (a))", ErrorKind::InvalidInput),
        ("create table x (a int references t)", ErrorKind::InvalidInput),
        ("create table x (a int references t (id))", ErrorKind::InvalidInput),
        ("create table x (a int primary key enforced)", ErrorKind::Unimplemented),
        ("create table x (a int check (a > 0))", ErrorKind::Unimplemented),
        ("create temporary table x (a int primary key)", ErrorKind::Unimplemented),
        ("alter table t add primary key (name)", ErrorKind::InvalidInput),
        ("alter table t add column k int primary key", ErrorKind::InvalidInput),
        ("alter table t drop constraint nosuch", ErrorKind::NotFound),
    ] {
        let (found, message) = fixture.error(sql).await;
        assert_eq!(found, kind, "{sql}: {message}");
    }
    fixture.update("create table x (a int unique, up int references x (a), primary key (a))").await;
    fixture.update("create or replace table x as select 1 as a").await;
    assert_eq!(fixture.rows("select count(*) from system.constraints").await, ["0"]);
}

/// What the table should be.
#[derive(Default)]
struct Model {
    /// Names and defaults.
    columns: Vec<(String, Option<i64>)>,
    rows: Vec<Vec<Option<i64>>>,
    names: u32,
}

impl Model {
    fn add(&mut self, default: Option<i64>) -> String {
        self.names += 1;
        // Few names, so that they come again.
        let name = (0..)
            .map(|n| format!("c{}", (self.names + n) % 6))
            .find(|name| !self.columns.iter().any(|(c, _)| c == name));
        self.columns.push((name.unwrap(), default));
        self.rows.iter_mut().for_each(|row| row.push(default));
        self.columns[self.columns.len() - 1].0.clone()
    }

    fn text(&self) -> Vec<String> {
        let value = |value: &Option<i64>| value.map_or("NULL".to_owned(), |value| value.to_string());
        let mut rows: Vec<_> =
            self.rows.iter().map(|row| row.iter().map(value).collect::<Vec<_>>().join("|")).collect();
        rows.sort();
        rows
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_changes_are_what_they_would_be_in_memory() {
    for seed in [1_u64, 7, 42] {
        let fixture = Fixture::local_with(EngineConfig { hot_cache_bytes: 16 << 20, ..config() }).await;
        let mut model = Model { columns: vec![("id".to_owned(), None)], ..Model::default() };
        let mut state = seed;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        fixture.update("create table t (id int)").await;
        for step in 0..60_i64 {
            let pick = usize::try_from(random(model.columns.len() as u64)).unwrap();
            let column = model.columns[pick].0.clone();
            let cut = i64::try_from(random(5)).unwrap();
            match random(9) {
                0 if model.columns.len() < 5 => {
                    let default = (random(2) == 0).then_some(step % 5);
                    let name = model.add(default);
                    let default = default.map_or(String::new(), |value| format!(" default {value}"));
                    fixture.update(&format!("alter table t add column {name} smallint{default}")).await;
                }
                1 if pick > 0 => {
                    fixture.update(&format!("alter table t drop column {column}")).await;
                    model.columns.remove(pick);
                    for row in &mut model.rows {
                        row.remove(pick);
                    }
                }
                2 if pick > 0 => {
                    let (_, default) = model.columns[pick].clone();
                    let name = model.add(default);
                    model.columns.pop();
                    for row in &mut model.rows {
                        row.pop();
                    }
                    model.columns[pick].0 = name.clone();
                    fixture.update(&format!("alter table t rename {column} to {name}")).await;
                }
                3 => {
                    fixture.update(&format!("alter table t alter {column} type bigint")).await;
                }
                4 => {
                    fixture.update(&format!("delete from t where {column} = {cut}")).await;
                    model.rows.retain(|row| row[pick] != Some(cut));
                }
                5 => {
                    fixture
                        .update(&format!(
                            "update t set {column} = {step} % 5 where {column} is null or {column} > {cut}"
                        ))
                        .await;
                    for row in model.rows.iter_mut().filter(|row| row[pick].is_none_or(|value| value > cut)) {
                        row[pick] = Some(step % 5);
                    }
                }
                6 => {
                    fixture.engine.compact(&t(), &Actor::new("ada")).await.unwrap();
                }
                _ => {
                    fixture.update(&format!("insert into t ({column}) values ({cut}), (null)")).await;
                    for value in [Some(cut), None] {
                        let mut row: Vec<_> = model.columns.iter().map(|(_, default)| *default).collect();
                        row[pick] = value;
                        model.rows.push(row);
                    }
                }
            }
            let mut found = fixture.rows("select * from t").await;
            found.sort();
            assert_eq!(found, model.text(), "seed {seed}, step {step}");
            let last = model.columns.len() - 1;
            let (name, expected) = (&model.columns[last].0, |row: &&Vec<Option<i64>>| row[last] == Some(cut));
            let count = fixture.rows(&format!("select count(*) from t where {name} = {cut}")).await;
            assert_eq!(count, [model.rows.iter().filter(expected).count().to_string()], "seed {seed}, step {step}");
            if step % 20 == 10 {
                fixture.engine.pin(&t()).await.unwrap();
            }
        }
    }
}
