//! How long one execution of a prepared query takes, row included.
//!
//! ```text
//! cargo run --release -p skein-client --example prepared_latency -- grpc://127.0.0.1:8815 "select 1" 1000
//! ```
//!
//! Prints one JSON object: the number of runs, and p50, p90 and p99 in milliseconds.
#![allow(clippy::print_stdout, reason = "printing is what this program is for")]

use std::{error::Error, time::Instant};

use skein_client::{Client, ConnectOptions};

/// Runs that only warm caches.
const WARM_UP: usize = 100;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().ok_or(format!("missing argument: {what}"));
    let (url, sql, runs) = (next("url")?, next("SQL")?, next("runs")?.parse::<usize>()?);
    let client = Client::connect(ConnectOptions::new(url)).await?;
    let prepared = client.prepare(sql).await?;
    let mut times = Vec::with_capacity(runs);
    for run in 0..runs + WARM_UP {
        let start = Instant::now();
        let batches = prepared.query(()).await?.collect().await?;
        if run >= WARM_UP {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        assert!(batches.iter().any(|batch| batch.num_rows() > 0), "the query gives no row");
    }
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{}", serde_json::json!({"runs": runs, "p50": at(50), "p90": at(90), "p99": at(99)}));
    Ok(())
}
