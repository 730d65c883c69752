//! Ad hoc.
use std::time::Instant;

use crate::support::{Fixture, config, run};

#[tokio::test(flavor = "multi_thread")]
#[ignore]
async fn planning() {
    let fixture = Fixture::local().await;
    fixture.update("create table one (a bigint, s varchar, d double)").await;
    fixture.update("create table many (a bigint, s varchar, d double)").await;
    fixture.update("insert into one values (1, 'x', 1.5)").await;
    let t = Instant::now();
    for i in 0..1000 {
        fixture.update(&format!("insert into many values ({i}, 'x{i}', 1.5)")).await;
        if i % 250 == 0 {
            eprintln!("insert {i}: {:?}", t.elapsed());
        }
    }
    eprintln!("1000 inserts {:?}", t.elapsed());
    for sql in [
        "select 1",
        "select * from one",
        "select * from many",
        "select sum(d) from one where a = 5",
        "select sum(d) from many where a = 5",
        "select count(*) from one",
        "select count(*) from many",
        "select s, sum(d) from one group by s",
        "select s, sum(d) from many group by s",
    ] {
        let n = 50;
        fixture.plan(sql).await.unwrap();
        let t = Instant::now();
        for _ in 0..n {
            fixture.plan(sql).await.unwrap();
        }
        let planning = t.elapsed() / n;
        let plan = fixture.plan(sql).await.unwrap();
        let t = Instant::now();
        for _ in 0..n {
            drop(plan.execute().await.unwrap());
        }
        let physical = t.elapsed() / n;
        let t = Instant::now();
        for _ in 0..5 {
            run(&plan).await.unwrap();
        }
        eprintln!("{sql}: plan {planning:?} execute {physical:?} run {:?}", t.elapsed() / 5);
    }
    let cols: Vec<_> = (0..10_000).map(|i| format!("c{i} int")).collect();
    let t = Instant::now();
    fixture.update(&format!("create table wide ({})", cols.join(", "))).await;
    eprintln!("wide create {:?}", t.elapsed());
    let vals: Vec<_> = (0..10_000).map(|i| format!("{i}")).collect();
    let t = Instant::now();
    fixture.update(&format!("insert into wide values ({})", vals.join(", "))).await;
    eprintln!("wide insert {:?}", t.elapsed());
    let t = Instant::now();
    fixture.rows("select * from wide").await;
    eprintln!("wide select {:?}", t.elapsed());
    let t = Instant::now();
    fixture.rows("select c5 from wide where c77 = 77").await;
    eprintln!("wide point {:?}", t.elapsed());
    let _ = config();
}
