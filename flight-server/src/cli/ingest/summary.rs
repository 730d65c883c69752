//! What an ingest did, in a sentence or as JSON.

use std::time::Duration;

use indicatif::{BinaryBytes, HumanCount};
use serde_json::json;
use skein_client::Report;

use super::{paths::Input, send::Sent};
use crate::cli::{Failure, output};

/// Rejected rows that are shown.
const SHOWN_REJECTS: usize = 10;

/// Tells about one file: the sentence on stdout, rejected rows on stderr.
pub fn show(input: &Input, sent: &Sent, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return output::line(&json_line(input, sent));
    }
    output::line(&sentence(&input.name(), &sent.report, sent.elapsed))?;
    show_rejects(&sent.report);
    Ok(())
}

fn show_rejects(report: &Report) {
    if report.skipped_rows == 0 {
        return;
    }
    for reject in report.rejects.iter().take(SHOWN_REJECTS) {
        let line = if reject.line == 0 { String::new() } else { format!("line {}, ", reject.line) };
        let column = if reject.column.is_empty() { String::new() } else { format!("column {}: ", reject.column) };
        output::note(&format!("  skipped {line}{column}{:?}: {}", reject.value, reject.reason));
    }
    if let Some(key) = &report.rejects_key {
        output::note(&format!("  all skipped rows are listed in the bucket, in {key}"));
    }
}

fn sentence(name: &str, report: &Report, elapsed: Duration) -> String {
    let version = report.version.map_or_else(String::new, |version| format!(", version {version}"));
    if report.duplicate {
        return format!(
            "{name}: loaded into {} before{version}; nothing added (--force loads it again)",
            report.dataset
        );
    }
    let skipped = match report.skipped_rows {
        0 => String::new(),
        1 => ", 1 row skipped".to_owned(),
        rows => format!(", {} rows skipped", HumanCount(rows)),
    };
    format!(
        "{name}: {} rows into {}{skipped} ({}, {}){version}",
        HumanCount(report.rows),
        report.dataset,
        BinaryBytes(report.bytes),
        rate(report.rows, elapsed)
    )
}

fn rate(rows: u64, elapsed: Duration) -> String {
    let per_second = u128::from(rows) * 1000 / elapsed.as_millis().max(1);
    let per_second = u64::try_from(per_second).unwrap_or(u64::MAX);
    format!("{:.1} s, {} rows/s", elapsed.as_secs_f64(), HumanCount(per_second))
}

fn json_line(input: &Input, sent: &Sent) -> String {
    let report = &sent.report;
    json!({
        "input": input.name(),
        "dataset": report.dataset,
        "version": report.version,
        "rows": report.rows,
        "bytes": report.bytes,
        "files": report.files,
        "duplicate": report.duplicate,
        "skipped_rows": report.skipped_rows,
        "rejects_key": report.rejects_key,
        "seconds": sent.elapsed.as_secs_f64(),
    })
    .to_string()
}

/// What several files came to.
#[derive(Debug, Default)]
pub struct Total {
    /// Files that are in.
    pub files: usize,
    rows: u64,
    duplicates: usize,
}

impl Total {
    /// Counts a file.
    pub fn add(&mut self, sent: &Sent) {
        self.files += 1;
        if sent.report.duplicate {
            self.duplicates += 1;
        } else {
            self.rows += sent.report.rows;
        }
    }

    /// `3 of 4 files, 1,200 rows`
    pub fn sentence(&self, total: usize) -> String {
        let duplicates = match self.duplicates {
            0 => String::new(),
            count => format!(" ({count} loaded before)"),
        };
        format!("{} of {total} files{duplicates}, {} rows added", self.files, HumanCount(self.rows))
    }

    /// A failure in the middle: says what is in already.
    pub fn unfinished(&self, failure: Failure, total: usize) -> Failure {
        if total == 1 {
            return failure;
        }
        failure.hint(format!("{}; run it again to go on: files that are in are recognised", self.sentence(total)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            dataset: "public.flights".into(),
            version: Some(3),
            rows: 336_776,
            bytes: 1 << 20,
            ..Report::default()
        }
    }

    #[test]
    fn a_sentence_says_what_happened() {
        let text = sentence("flights.csv", &report(), Duration::from_secs(2));
        assert_eq!(text, "flights.csv: 336,776 rows into public.flights (1.00 MiB, 2.0 s, 168,388 rows/s), version 3");
        let text = sentence("flights.csv", &Report { duplicate: true, ..report() }, Duration::from_secs(2));
        assert!(text.contains("loaded into public.flights before, version 3; nothing added"), "{text}");
        let text = sentence("f", &Report { skipped_rows: 7, ..report() }, Duration::ZERO);
        assert!(text.contains(", 7 rows skipped"), "{text}");
    }

    #[test]
    fn a_total_counts_duplicates_apart() {
        let mut total = Total::default();
        total.add(&Sent { report: report(), elapsed: Duration::ZERO });
        total.add(&Sent { report: Report { duplicate: true, ..report() }, elapsed: Duration::ZERO });
        assert_eq!(total.sentence(3), "2 of 3 files (1 loaded before), 336,776 rows added");
    }
}
