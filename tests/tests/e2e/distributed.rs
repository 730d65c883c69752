//! Statements that run on workers: the same answers as on one server, and what becomes of them when a worker does not do its part.

use std::time::Duration;

use futures::StreamExt as _;
use skein_flight_server::config::{Config, Role, Sources};
use tonic::Code;

use crate::{
    support::{
        Client, TestServer, statement,
        workers::{Cluster, SECRET, secret},
    },
    tls::Authority,
};

/// Tables of some files and many row groups.
pub async fn fill(client: &mut Client) {
    for sql in [
        "create table customers as select v as id, concat('name ', v) as name, v % 7 as region from generate_series(1, 800) as g(v)",
        "create table orders as select v as id, v % 800 + 1 as customer, v % 5 as status, cast(v * 3.25 as double) as total, \
         date '2024-01-01' + cast(v % 365 as int) as day from generate_series(1, 4000) as g(v)",
        "insert into orders select v, v % 799 + 1, v % 5, cast(v * 1.5 as double), date '2024-01-01' + cast(v % 365 as int) \
         from generate_series(4001, 9000) as g(v)",
        "create table lines as select v as id, v % 9000 + 1 as order_id, v % 50 as part, v % 9 + 1 as quantity, \
         cast(v % 1000 as decimal(12, 2)) / 7 as price, case when v % 11 = 0 then null else concat('note ', v % 97) end as note \
         from generate_series(1, 30000) as g(v)",
    ] {
        client.update(sql).await.unwrap();
    }
}

/// Each with whether it has stages, however the files lie.
pub const QUERIES: &[(&str, bool)] = &[
    ("select count(*) from lines", false),
    ("select part, count(*), sum(quantity), avg(price), min(note), max(note) from lines group by part", true),
    ("select note, count(distinct part) from lines group by note", true),
    ("select sum(price), count(note), round(stddev(quantity), 6) from lines where quantity > 3", true),
    ("select * from orders where total > 5000 and status = 3 order by total desc, id limit 25", true),
    ("select id, name from customers order by name desc, id limit 10 offset 5", false),
    (
        "select c.region, o.status, count(*), sum(o.total) from orders o join customers c on o.customer = c.id group by c.region, o.status",
        true,
    ),
    (
        "select c.name, sum(l.quantity * l.price) as revenue from customers c join orders o on o.customer = c.id join lines l \
         on l.order_id = o.id where o.day < date '2024-06-01' and l.note is not null group by c.name order by revenue desc, c.name limit 20",
        true,
    ),
    ("select o.id, l.id from orders o left join lines l on l.order_id = o.id and l.part = 49 where o.id < 400", true),
    (
        "select o.id, l.id from orders o full join lines l on l.order_id = o.id and l.quantity = 9 where o.id is null or o.id < 50",
        true,
    ),
    ("select id from customers where id not in (select customer from orders where status = 1)", false),
    (
        "select id from customers c where exists (select 1 from orders o where o.customer = c.id and o.total > 12000)",
        true,
    ),
    ("select count(*) from lines where price > (select avg(price) from lines)", true),
    ("select a.region, count(*) from customers a join customers b on a.region < b.region group by a.region", true),
    ("select part, id, row_number() over (partition by part order by id desc) as n from lines where id < 3000", true),
    ("select distinct status, customer % 10 from orders", true),
    ("select id from customers where region = 1 union all select id from orders where status = 1 and id < 100", true),
    ("select id from customers union select part from lines", true),
    ("select status, count(*) from orders group by rollup (status)", true),
    ("select date_trunc('month', day) as m, sum(total) from orders group by m", true),
    (
        "select to_char(arrow_cast(day, 'Timestamp(Second, None)')::timestamptz, '%H:%M') as h, count(*) from orders group by h",
        true,
    ),
    (
        "select upper(repeat(name, 2)) as n, lpad(name, 12, '*') from customers where name like 'name!_1%' escape '!' or region = 2",
        true,
    ),
    ("select part, array_agg(id order by id) from lines where id < 300 group by part", true),
    ("select approx_distinct(note) > 90, median(quantity) from lines", true),
    (
        "with big as (select customer, sum(total) as s from orders group by customer) select count(*), max(s) from big where s > 1000",
        true,
    ),
    ("select v.x, count(*) from (values (1), (2), (3)) as v(x) join lines l on l.quantity = v.x group by v.x", true),
    ("select count(*) from orders where id = 77", true),
    ("select * from orders where id < 0 order by total", false),
];

/// One that nobody waits for.
pub const ENDLESS: &str = "select a.id, b.id, c.id from lines a join lines b on a.part = b.part join lines c on b.part = c.part \
                           order by a.id + b.id + c.id";

pub async fn sorted(client: &mut Client, sql: &str) -> Vec<String> {
    let rows = client.rows(sql).await.unwrap_or_else(|status| panic!("{sql}: {status}"));
    let mut rows: Vec<_> = rows.lines().map(str::to_owned).collect();
    rows.sort();
    rows
}

pub async fn plan_of(client: &mut Client, sql: &str) -> String {
    client.rows(&format!("explain {sql}")).await.unwrap_or_else(|status| panic!("{sql}: {status}"))
}

async fn same_answers(one: &mut Client, many: &mut Client) {
    let mut local = Vec::new();
    for (sql, staged) in QUERIES {
        let plan = plan_of(many, sql).await;
        if *staged && !plan.contains("Stage") {
            local.push(format!("{sql}\n{plan}"));
        }
        assert_eq!(sorted(many, sql).await, sorted(one, sql).await, "{sql}\n{plan}");
    }
    assert!(local.is_empty(), "not distributed:\n{}", local.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_give_the_answers_of_one_server() {
    let cluster = Cluster::start(2).await;
    let (mut one, mut many) = (cluster.coordinator.client().await, cluster.client().await);
    one.update("set distributed = 'never'").await.unwrap();
    fill(&mut one).await;
    same_answers(&mut one, &mut many).await;
    assert!(!plan_of(&mut one, QUERIES[1].0).await.contains("Stage"));

    // Deleted and changed rows, and what there was before.
    one.update("delete from lines where id % 3 = 0 or part = 17").await.unwrap();
    one.update("delete from orders where id <= 500").await.unwrap();
    one.update("update customers set region = 99 where id % 10 = 4").await.unwrap();
    same_answers(&mut one, &mut many).await;
    let before = "select part, count(*), sum(id) from lines version as of 2 group by part";
    assert!(plan_of(&mut many, before).await.contains("Stage"));
    assert_eq!(sorted(&mut many, before).await, sorted(&mut one, before).await);
    assert_ne!(sorted(&mut many, before).await, sorted(&mut one, &before.replace(" version as of 2", "")).await);
    cluster.is_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_read_files_from_before_the_columns_changed() {
    let cluster = Cluster::start(2).await;
    let (mut one, mut many) = (cluster.coordinator.client().await, cluster.client().await);
    one.update("set distributed = 'never'").await.unwrap();
    for sql in [
        "create table t as select cast(v as int) as a, concat('text ', v) as b, arrow_cast(v % 90, 'Int8') as c, v * 1.5 as d \
         from generate_series(1, 6000) as g(v)",
        "alter table t add column e varchar default 'before', add column f decimal(9, 2) default 7.25, add column g timestamp",
        // Two names change places, and a name comes back as another column.
        "alter table t rename column a to x",
        "alter table t rename column b to a",
        "alter table t rename column x to b",
        "alter table t drop column d",
        "alter table t add column d bigint default -1",
        "insert into t (a, b, c, d, e, f) select concat('new ', v), v as b, v % 50, v as d, 'after', v / 8 from generate_series(6001, 9000) as g(v)",
        "alter table t alter column c type bigint, alter column b type bigint",
        "insert into t (a, b, c) select 'wide', v * 5000000000 as b, v * 5000000000 as c from generate_series(1, 700) as g(v)",
        "delete from t where b % 7 = 0",
    ] {
        one.update(sql).await.unwrap_or_else(|status| panic!("{sql}: {status}"));
    }
    let queries = [
        "select e, count(*), sum(b), sum(c), sum(d), min(f), max(f), count(g), min(a), max(a) from t group by e",
        "select d, count(*) from t where d < 6500 and f > 7 group by d",
        "select a, b from t where e = 'before' and b between 100 and 3000 and a like 'text%' order by b desc limit 50",
        "select l.b, r.a from t l join t r on l.b = r.d where r.e = 'after' order by 1, 2",
        "select e, count(*) from t where g is null and c > 80 group by e",
        "select c, sum(d) from t version as of 2 group by c",
    ];
    for sql in queries {
        let plan = plan_of(&mut many, sql).await;
        assert!(plan.contains("Stage"), "{sql}\n{plan}");
        let (distributed, local) = (sorted(&mut many, sql).await, sorted(&mut one, sql).await);
        assert!(!local.is_empty());
        assert_eq!(distributed, local, "{sql}\n{plan}");
    }
    // What an older file lacks, as it was promised.
    let sql = "select count(*), sum(d), min(e), sum(f) from t where e = 'before' and b <= 6000";
    assert_eq!(many.rows(sql).await.unwrap(), "5143|-5143|before|37286.75");
    cluster.is_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_worker_takes_the_work_of_its_coordinator() {
    let mut cluster = Cluster::start(1).await;
    let (mut one, mut many) = (cluster.coordinator.client().await, cluster.client().await);
    one.update("set distributed = 'never'").await.unwrap();
    fill(&mut one).await;
    same_answers(&mut one, &mut many).await;
    cluster.is_idle().await;
    // Without it, its work is done here.
    let gone = cluster.workers.pop().unwrap();
    gone.running.shutdown();
    gone.running.wait().await.unwrap();
    cluster.wait_for(0).await;
    let (sql, _) = QUERIES[1];
    assert!(!plan_of(&mut many, sql).await.contains("Stage"));
    assert_eq!(sorted(&mut many, sql).await, sorted(&mut one, sql).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_polled_query_tells_how_much_its_workers_have_read() {
    let cluster = Cluster::start(2).await;
    let mut client = cluster.client().await;
    fill(&mut client).await;
    let mut answer = client.poll(statement(ENDLESS)).await.unwrap();
    let mut last = 0.0;
    // What is joined from is read whole before there are rows to sort, and that is one of three scans at least.
    for _ in 0..60 {
        let progress = answer.progress.expect("scans of datasets are foreseen");
        assert!((last..=1.0).contains(&progress), "{progress} after {last}");
        last = progress;
        if last > 0.33 {
            break;
        }
        answer = client.poll(answer.flight_descriptor.take().expect("it takes long")).await.unwrap();
    }
    assert!(last > 0.33, "{last}");
    let sql = "select query_id from system.queries where state = 'running' and sql like 'select a.id%'";
    let id = client.rows(sql).await.unwrap();
    client.action("query.cancel", &serde_json::json!({"query_id": id})).await.unwrap();
    cluster.is_idle().await;

    // One that comes to its end.
    let sql = "select count(*) as n from lines a join lines b on a.part = b.part and a.id <> b.id";
    let answer = client.polled(sql).await;
    let ticket = answer.info.unwrap().endpoint[0].ticket.clone().unwrap();
    assert_eq!(crate::support::table(&client.read(ticket).await.unwrap()), "17970000");
    cluster.is_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_this_server_has_is_read_here() {
    let cluster = Cluster::start(2).await;
    let mut client = cluster.client().await;
    fill(&mut client).await;
    client.update("create temporary table mine as select 1 as part").await.unwrap();
    for sql in [
        "select count(*) from lines l join mine m on l.part = m.part",
        "select count(*) from lines, system.workers",
        "select count(*) from generate_series(1, 10) as g(v) join lines on v = part",
    ] {
        let plan = plan_of(&mut client, sql).await;
        assert!(!plan.contains("Stage"), "{sql}:\n{plan}");
        assert!(!client.rows(sql).await.unwrap().is_empty());
    }
    // A session's time zone goes with its statements.
    client.update("set timezone = '+05:00'").await.unwrap();
    let sql = "select to_timestamp('2024-01-01 00:00:00') as t, count(*) from lines where id > 5 group by t";
    let many = client.rows(sql).await.unwrap();
    client.update("set distributed = 'never'").await.unwrap();
    assert_eq!(many, client.rows(sql).await.unwrap());
    // By itself the server asks workers for large ones only.
    client.update("set distributed = 'auto'").await.unwrap();
    assert!(!plan_of(&mut client, QUERIES[1].0).await.contains("Stage"));
    assert_eq!(client.update("set distributed = 'sometimes'").await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_says_why_a_statement_is_not_distributed() {
    let cluster = Cluster::start(1).await;
    let mut client = cluster.client().await;
    fill(&mut client).await;
    client.update("create temporary table mine as select 1 as part").await.unwrap();
    client.update("create table empty as select * from lines where false").await.unwrap();
    let grouped = QUERIES[1].0;
    for (distributed, sql, why) in [
        (
            "always",
            "select count(*) from lines l join mine m on l.part = m.part",
            Some("mine', which only this server has"),
        ),
        ("always", "select count(*) from lines, system.workers", Some("which only this server has")),
        ("always", "select part, count(*) from empty group by part", Some("it reads no rows of datasets")),
        ("always", "select 1 as one order by one", Some("it reads no rows of datasets")),
        ("auto", "select part from lines", Some("it does not join, aggregate or sort")),
        ("auto", grouped, Some("go to workers from 256.0 MB on (query.distributed_min_size)")),
        ("never", grouped, None),
        ("always", grouped, None),
    ] {
        client.update(&format!("set distributed = '{distributed}'")).await.unwrap();
        let plan = plan_of(&mut client, sql).await;
        let said: Vec<_> = plan.lines().filter(|line| line.contains("not distributed: ")).collect();
        assert_eq!(said.len(), usize::from(why.is_some()), "{distributed}, {sql}\n{plan}");
        assert!(why.is_none_or(|why| said[0].contains(why)), "{distributed}, {sql}\n{plan}");
        assert!(plan.contains("logical_plan"), "what EXPLAIN says else is there: {plan}");
        assert!(!client.rows(sql).await.unwrap().contains("not distributed"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_speaks_of_workers_only_where_some_are_wanted() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.update("create table t as select 1 as a").await.unwrap();
    let sql = "select a, count(*) from t group by a";
    assert!(!plan_of(&mut client, sql).await.contains("distributed"));
    client.update("set distributed = 'always'").await.unwrap();
    let plan = plan_of(&mut client, sql).await;
    assert!(plan.contains("not distributed: no worker has registered"), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_a_statement_are_its_own_wherever_it_runs() {
    let cluster = Cluster::start(2).await;
    let mut client = cluster.client().await;
    fill(&mut client).await;
    let sql = "select part, sum(1 / (quantity - 5)) from lines group by part";
    assert!(plan_of(&mut client, sql).await.contains("Stage"));
    let status = client.rows(sql).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(status.message().to_lowercase().contains("divide by zero"), "{status}");
    assert_eq!(cluster.coordinator.running.state().engine.workers().len(), 2, "no worker is lost for that");
    cluster.is_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_dropped_ends_the_work_on_workers() {
    let cluster = Cluster::start(2).await;
    let mut client = cluster.client().await;
    fill(&mut client).await;
    assert!(plan_of(&mut client, ENDLESS).await.contains("Stage"));

    let info = client.plan(ENDLESS).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let mut other = client.clone();
    let reading = tokio::spawn(async move { other.read(ticket).await.map(drop) });
    let running = async || {
        for _ in 0..600 {
            if cluster.workers.iter().all(|worker| worker.running.state().tasks.running() > 0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no tasks run");
    };
    running().await;
    reading.abort();
    cluster.is_idle().await;

    // After some of the rows.
    let unsorted = client.plan("select a.id, b.note from lines a join lines b on a.part = b.part").await.unwrap();
    let mut stream = client.stream(unsorted.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    for _ in 0..3 {
        assert!(stream.next().await.unwrap().unwrap().num_rows() > 0);
    }
    running().await;
    drop(stream);
    cluster.is_idle().await;

    // Cancelled by its id, from another connection.
    let reading = tokio::spawn({
        let mut other = client.clone();
        async move { other.query(ENDLESS).await.map(drop) }
    });
    running().await;
    let mut other = cluster.coordinator.client().await;
    let id = other
        .rows("select query_id from system.queries where state = 'running' and sql like 'select a.id%'")
        .await
        .unwrap();
    other.action("query.cancel", &serde_json::json!({"query_id": id})).await.unwrap();
    assert_eq!(reading.await.unwrap().unwrap_err().code(), Code::Cancelled);
    cluster.is_idle().await;

    // By its own time limit.
    client.update("set statement_timeout = '1s'").await.unwrap();
    assert_eq!(client.query(ENDLESS).await.unwrap_err().code(), Code::DeadlineExceeded);
    cluster.is_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_keeps_to_its_own_memory() {
    let mut cluster = Cluster::start(0).await;
    for _ in 0..2 {
        let small = |config: &mut Config| {
            let text = "[query]\nmemory = \"32MiB\"\nmemory_per_statement = \"1MiB\"";
            config.query = Config::load(&Sources::default().with_text("test", text)).unwrap().config.query;
        };
        let worker = cluster.worker(small).await;
        cluster.workers.push(worker);
    }
    cluster.wait_for(2).await;
    let mut client = cluster.client().await;
    fill(&mut client).await;
    let sql = "select max(length(s)) > 3 from (select string_agg(concat(note, id), ',') as s from lines group by id)";
    assert!(plan_of(&mut client, sql).await.contains("Stage"));
    // What does not fit there runs here, in this server's memory.
    match client.rows(sql).await {
        Ok(rows) => assert_eq!(rows, "true"),
        Err(status) => assert_eq!(status.code(), Code::ResourceExhausted, "{status}"),
    }
    cluster.is_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_workers_shows_who_is_there() {
    let mut cluster = Cluster::start(2).await;
    let mut client = cluster.client().await;
    let sql = "select url, version, running_tasks, last_heartbeat >= since from system.workers order by url";
    let rows = client.rows(sql).await.unwrap();
    assert_eq!(rows.lines().count(), 2, "{rows}");
    for worker in &cluster.workers {
        let line = format!("http://{}/|{}|0|true", worker.address(), env!("CARGO_PKG_VERSION"));
        assert!(rows.contains(&line), "{line} is not in\n{rows}");
    }
    // One that ends says so, and takes its time.
    let gone = cluster.workers.pop().unwrap();
    gone.running.shutdown();
    gone.running.wait().await.unwrap();
    cluster.wait_for(1).await;
    // One that is started again is back.
    let again = cluster.worker(|_| {}).await;
    cluster.workers.push(again);
    cluster.wait_for(2).await;
    let (_, metrics) = cluster.coordinator.http("/metrics").await;
    assert!(metrics.contains("skein_workers 2"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_do_not_know_the_secret_are_kept_out() {
    let cluster = Cluster::start(1).await;
    // Nor with the secret of another cluster, nor with none; also where nobody is asked to log in.
    let strangers = [
        cluster.worker(|config| secret(config, "another secret, of another cluster")).await,
        cluster.worker(|config| config.cluster.secret = None).await,
    ];
    let register = serde_json::json!({
        "url": "grpc://127.0.0.1:1", "version": env!("CARGO_PKG_VERSION"), "heartbeat_ms": 1000, "buckets": ["local"],
    });
    let client = cluster.coordinator.client().await;
    let refused = client.clone().action("worker.register", &register).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    let refused =
        client.clone().bearer("another secret, of another cluster").action("worker.register", &register).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(cluster.coordinator.running.state().engine.workers().len(), 1);
    drop(strangers);

    // The secret is for working together, and for nothing else.
    let mut server = client.clone().bearer(SECRET);
    for refused in [server.plan("select 1").await.map(drop), server.action("user.create", &register).await.map(drop)] {
        assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    }
    // Other versions, other buckets, and what is no URL.
    for (key, value, code) in [
        ("version", serde_json::json!("0.0.1"), Code::FailedPrecondition),
        ("buckets", serde_json::json!(["elsewhere"]), Code::FailedPrecondition),
        ("url", serde_json::json!("here"), Code::InvalidArgument),
    ] {
        let mut request = register.clone();
        request[key] = value;
        assert_eq!(server.action("worker.register", &request).await.unwrap_err().code(), code, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_does_not_answer_is_named_and_dropped() {
    let cluster = Cluster::start(1).await;
    let mut client = cluster.client().await;
    fill(&mut client).await;
    let (sql, _) = QUERIES[1];
    let expected = sorted(&mut client, sql).await;
    // Two that are none: nobody listens there, and nobody there is a worker.
    let mut server = client.clone().bearer(SECRET);
    let bystander = TestServer::start().await;
    for url in ["grpc://127.0.0.1:1".to_owned(), format!("grpc://{}", bystander.address())] {
        let register = serde_json::json!({
            "url": url, "version": env!("CARGO_PKG_VERSION"), "heartbeat_ms": 60_000, "buckets": ["local"],
        });
        server.action("worker.register", &register).await.unwrap();
        let status = client.rows(sql).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert!(status.message().contains(&url.replace("grpc", "http")), "{status}");
        assert!(status.message().contains("run the statement again"), "{status}");
        // The next one runs without it.
        assert_eq!(sorted(&mut client, sql).await, expected);
    }
    cluster.wait_for(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_results_come_through_as_they_are() {
    let cluster = Cluster::start(2).await;
    let mut client = cluster.client().await;
    fill(&mut client).await;
    let sql = "select l.id, o.id from lines l join orders o on l.part = o.status order by l.id, o.id";
    let info = client.plan(sql).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let mut stream = client.stream(ticket).await.unwrap();
    let mut rows = 0;
    while let Some(batch) = stream.next().await {
        rows += batch.unwrap().num_rows();
    }
    // Parts 0 to 4, 600 lines each, with 1,800 orders each.
    assert_eq!(rows, 5 * 600 * 1800);
    cluster.is_idle().await;
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_check_each_others_certificates() {
    let (ours, other) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let ca = |authority: &Authority, name: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, authority.pem()).unwrap();
        path
    };
    let (our_ca, other_ca) = (ca(&ours, "ours.pem"), ca(&other, "other.pem"));
    let coordinator = TestServer::with(|config| {
        secret(config, SECRET);
        ours.configure(&folder.path().join("coordinator"), config);
        config.cluster.ca = Some(our_ca.clone());
        config.ingest.row_group_rows = 500;
    })
    .await;
    let address = format!("grpc+tls://localhost:{}", coordinator.address().port());
    let mut cluster = Cluster { coordinator, workers: Vec::new() };
    let data = cluster.coordinator.data().to_owned();
    // `authority` made its certificate, and it believes those of `trusted`.
    let worker = async |authority: &Authority, trusted: &std::path::Path, name: &str| {
        let port = free_port();
        let own = folder.path().join(name);
        TestServer::with(|config| {
            secret(config, SECRET);
            authority.configure(&own, config);
            config.server.role = Role::Worker;
            config.server.listen = format!("127.0.0.1:{port}").parse().unwrap();
            config.cluster.coordinators = Some(address.clone());
            config.cluster.advertise = Some(format!("grpc+tls://localhost:{port}"));
            config.cluster.ca = Some(trusted.to_owned());
            config.cluster.heartbeat = Duration::from_millis(200);
            config.storage.data = data.clone();
        })
        .await
    };
    // It does not believe the coordinator, and so does not tell it the secret.
    let doubting = worker(&ours, &other_ca, "doubting").await;
    for name in ["one", "two"] {
        let good = worker(&ours, &our_ca, name).await;
        cluster.workers.push(good);
    }
    cluster.wait_for(2).await;
    let mut client = Client::new(ours.connect(&cluster.coordinator, None).await.unwrap());
    client.update("set distributed = 'always'").await.unwrap();
    fill(&mut client).await;
    let (sql, _) = QUERIES[1];
    assert!(plan_of(&mut client, sql).await.contains("Stage"));
    let expected = sorted(&mut client, sql).await;
    drop(doubting);

    // The coordinator does not believe this one.
    let strange = worker(&other, &our_ca, "strange").await;
    cluster.wait_for(3).await;
    let mut refused = None;
    for _ in 0..20 {
        if let Err(status) = client.rows(sql).await {
            refused = Some(status);
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let refused = refused.expect("a worker of another authority is not called");
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert!(refused.message().contains(&format!("https://localhost:{}", strange.address().port())), "{refused}");
    strange.running.shutdown();
    strange.running.wait().await.unwrap();
    cluster.wait_for(2).await;
    assert_eq!(sorted(&mut client, sql).await, expected);
}
