//! The server's Prometheus metrics. Each server has its own recorder, so that two in one process stay apart.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram, with_local_recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use skein_query::CompactionTotals;
use tonic::Code;

const RPC_TOTAL: &str = "skein_rpc_total";
const RPC_SECONDS: &str = "skein_rpc_duration_seconds";
const RPC_RUNNING: &str = "skein_rpc_running";
const ROWS_SENT: &str = "skein_rows_sent_total";
const ROWS_RECEIVED: &str = "skein_rows_received_total";
const BYTES_SENT: &str = "skein_bytes_sent_total";
const BYTES_RECEIVED: &str = "skein_bytes_received_total";
const LOGINS: &str = "skein_logins_total";
const QUERIES_RUNNING: &str = "skein_queries_running";
const QUERIES_QUEUED: &str = "skein_queries_queued";
const INGESTS_RUNNING: &str = "skein_ingests_running";
const SESSIONS: &str = "skein_sessions";
const MEMORY: &str = "skein_query_memory_bytes";
const TASKS: &str = "skein_tasks_running";
const WORKERS: &str = "skein_workers";
const SPILLED: &str = "skein_query_spilled_bytes";
const COMPACTIONS: &str = "skein_compactions_total";
const COMPACTIONS_RUNNING: &str = "skein_compactions_running";
const COMPACTED_FILES: &str = "skein_compacted_files_total";
const COMPACTED_BYTES: &str = "skein_compacted_bytes_total";
const COMPACTED_ROWS: &str = "skein_compacted_deleted_rows_total";
const EXPIRED: &str = "skein_expired_versions_total";
const COLLECTED_FILES: &str = "skein_collected_files_total";
const COLLECTED_BYTES: &str = "skein_collected_bytes_total";
const INDEX_RECALL: &str = "skein_index_recall";

/// Upper bounds of the duration buckets, in seconds.
const SECONDS: [f64; 12] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 600.0, 3600.0];

/// What is counted at the moment of a scrape.
#[derive(Debug, Clone, Copy, Default)]
pub struct Now {
    /// Queries that have a slot.
    pub queries_running: usize,
    /// Queries that wait for one.
    pub queries_queued: usize,
    /// Uploads.
    pub ingests_running: usize,
    /// Open sessions.
    pub sessions: usize,
    /// Bytes reserved by queries and temporary tables.
    pub memory: u64,
    /// Bytes of spilled rows on disk.
    pub spilled: u64,
    /// Compactions so far.
    pub compactions: CompactionTotals,
    /// Tasks of other servers' statements.
    pub tasks: u64,
    /// Workers that are alive.
    pub workers: usize,
}

/// The metrics of one server.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics at zero.
    pub fn new() -> Self {
        let builder = PrometheusBuilder::new();
        // Only an empty list of buckets is refused; without buckets a histogram is a summary.
        let builder = builder
            .set_buckets_for_metric(Matcher::Full(RPC_SECONDS.to_owned()), &SECONDS)
            .unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        let metrics = Self { handle: recorder.handle(), recorder };
        metrics.describe();
        metrics
    }

    fn describe(&self) {
        with_local_recorder(&self.recorder, || {
            describe_counter!(RPC_TOTAL, "RPCs that ended, by name and gRPC code");
            describe_histogram!(RPC_SECONDS, "Seconds from an RPC's headers to its last byte");
            describe_gauge!(RPC_RUNNING, "RPCs that run now");
            describe_counter!(ROWS_SENT, "Rows streamed to clients");
            describe_counter!(ROWS_RECEIVED, "Rows committed from clients");
            describe_counter!(BYTES_SENT, "Bytes of responses");
            describe_counter!(BYTES_RECEIVED, "Bytes of requests");
            describe_counter!(LOGINS, "Logins, by outcome");
            describe_gauge!(QUERIES_RUNNING, "Queries that produce rows now");
            describe_gauge!(QUERIES_QUEUED, "Queries that wait for a slot");
            describe_gauge!(INGESTS_RUNNING, "Uploads whose rows are taken in now");
            describe_gauge!(SESSIONS, "Open sessions");
            describe_gauge!(MEMORY, "Bytes that queries and temporary tables have reserved");
            describe_gauge!(TASKS, "Tasks of other servers' statements that run here now");
            describe_gauge!(WORKERS, "Workers that have registered with this server and are alive");
            describe_gauge!(SPILLED, "Bytes on disk that running queries have spilled");
            describe_counter!(COMPACTIONS, "Compactions that ended, by outcome");
            describe_gauge!(COMPACTIONS_RUNNING, "Compactions that run now");
            describe_counter!(COMPACTED_FILES, "Files that compactions have replaced");
            describe_counter!(COMPACTED_BYTES, "Bytes of the files that compactions have replaced");
            describe_counter!(COMPACTED_ROWS, "Deleted rows that compactions have left out");
            describe_gauge!(
                INDEX_RECALL,
                "Of the nearest rows, the share that an index found when it was last measured"
            );
            describe_counter!(EXPIRED, "Versions that have been expired");
            describe_counter!(COLLECTED_FILES, "Objects that garbage collection has removed");
            describe_counter!(COLLECTED_BYTES, "Bytes of the objects that garbage collection has removed");
            for name in
                [EXPIRED, COLLECTED_FILES, COLLECTED_BYTES, ROWS_SENT, ROWS_RECEIVED, BYTES_SENT, BYTES_RECEIVED]
            {
                counter!(name).absolute(0);
            }
        });
    }

    /// An RPC began.
    pub fn rpc_started(&self, rpc: &'static str) {
        with_local_recorder(&self.recorder, || gauge!(RPC_RUNNING, "rpc" => rpc).increment(1));
    }

    /// An RPC is over: its last byte was sent, or its client went away.
    pub fn rpc_finished(&self, rpc: &'static str, code: Code, took: Duration) {
        with_local_recorder(&self.recorder, || {
            gauge!(RPC_RUNNING, "rpc" => rpc).decrement(1);
            counter!(RPC_TOTAL, "rpc" => rpc, "code" => format!("{code:?}")).increment(1);
            histogram!(RPC_SECONDS, "rpc" => rpc).record(took.as_secs_f64());
        });
    }

    /// Rows were handed to a client's stream.
    pub fn rows_sent(&self, rows: u64) {
        with_local_recorder(&self.recorder, || counter!(ROWS_SENT).increment(rows));
    }

    /// Rows of a client were committed.
    pub fn rows_received(&self, rows: u64) {
        with_local_recorder(&self.recorder, || counter!(ROWS_RECEIVED).increment(rows));
    }

    /// Bytes of a response left.
    pub fn sent_bytes(&self, bytes: u64) {
        with_local_recorder(&self.recorder, || counter!(BYTES_SENT).increment(bytes));
    }

    /// Bytes of a request came in.
    pub fn received_bytes(&self, bytes: u64) {
        with_local_recorder(&self.recorder, || counter!(BYTES_RECEIVED).increment(bytes));
    }

    /// A login succeeded (`ok`), failed (`refused`) or was not even tried (`limited`).
    pub fn login(&self, outcome: &'static str) {
        with_local_recorder(&self.recorder, || counter!(LOGINS, "outcome" => outcome).increment(1));
    }

    /// Versions were expired.
    pub fn versions_expired(&self, count: u64) {
        with_local_recorder(&self.recorder, || counter!(EXPIRED).increment(count));
    }

    /// Objects were removed by garbage collection.
    pub fn garbage_collected(&self, files: u64, bytes: u64) {
        with_local_recorder(&self.recorder, || {
            counter!(COLLECTED_FILES).increment(files);
            counter!(COLLECTED_BYTES).increment(bytes);
        });
    }

    /// So well did an index answer, as schema.name: the share of the nearest rows that it found, 0 to 1.
    pub fn index_recall(&self, index: &str, recall: f64) {
        with_local_recorder(&self.recorder, || gauge!(INDEX_RECALL, "index" => index.to_owned()).set(recall));
    }

    /// Sets what is counted at the moment of a scrape.
    pub fn set_now(&self, now: Now) {
        let count = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        with_local_recorder(&self.recorder, || {
            for (name, value) in [
                (QUERIES_RUNNING, count(now.queries_running)),
                (QUERIES_QUEUED, count(now.queries_queued)),
                (INGESTS_RUNNING, count(now.ingests_running)),
                (SESSIONS, count(now.sessions)),
                (MEMORY, bytes(now.memory)),
                (SPILLED, bytes(now.spilled)),
                (COMPACTIONS_RUNNING, bytes(now.compactions.running)),
                (TASKS, bytes(now.tasks)),
                (WORKERS, count(now.workers)),
            ] {
                gauge!(name).set(value);
            }
            let compactions = now.compactions;
            for (outcome, count) in [
                ("done", compactions.done),
                ("nothing", compactions.idle),
                ("failed", compactions.failed),
                ("cancelled", compactions.cancelled),
            ] {
                counter!(COMPACTIONS, "outcome" => outcome).absolute(count);
            }
            counter!(COMPACTED_FILES).absolute(compactions.files);
            counter!(COMPACTED_BYTES).absolute(compactions.bytes);
            counter!(COMPACTED_ROWS).absolute(compactions.deleted_rows);
        });
    }

    /// The metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        self.handle.run_upkeep();
        self.handle.render()
    }
}

/// Bytes as Prometheus has them: exact up to 4 GiB, to the KiB above.
fn bytes(bytes: u64) -> f64 {
    match u32::try_from(bytes) {
        Ok(exact) => f64::from(exact),
        Err(_) => f64::from(u32::try_from(bytes >> 10).unwrap_or(u32::MAX)) * 1024.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_rendered() {
        let metrics = Metrics::new();
        metrics.rpc_started("DoGet");
        metrics.rpc_finished("DoGet", Code::Ok, Duration::from_millis(3));
        metrics.rows_sent(7);
        metrics.set_now(Now { queries_running: 1, queries_queued: 2, sessions: 3, memory: 5 << 30, ..Now::default() });
        let text = metrics.render();
        for line in [
            r#"skein_rpc_total{rpc="DoGet",code="Ok"} 1"#,
            "skein_rows_sent_total 7",
            "skein_queries_queued 2",
            "skein_sessions 3",
            "skein_query_memory_bytes 5368709120",
            r#"skein_rpc_duration_seconds_bucket{rpc="DoGet",le="0.005"} 1"#,
        ] {
            assert!(text.contains(line), "{line} not in\n{text}");
        }
        assert!(!Metrics::new().render().contains("DoGet"));
    }
}
