//! `skein verify`: are the files what they should be?

use clap::Args as ClapArgs;
use serde_json::json;
use skein_proto::{Action, DatasetVerifyResponse, Finding};

use super::{Exit, Failure, connect::Connect, format::thousands, output, table_ref::TableRef};

const EXAMPLES: &str = "\
Examples:
  skein verify                      sizes, and whether every file is there
  skein verify --deep               reads every file and compares checksums
  skein verify flights --deep --json

Exit code 0 when all is well, 1 when something is wrong. Each finding says what to do. What was dropped or is being
written, and so waits for garbage collection, is listed too; that is not a fault.";

/// Arguments of `skein verify`.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Only this dataset.
    table: Option<TableRef>,
    /// Read every file and compare checksums.
    #[arg(long)]
    deep: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

/// Runs the check; something found is a failure.
pub async fn run(args: Args) -> Result<(), Failure> {
    let client = args.connect.client().await?;
    let request = json!({
        "deep": args.deep,
        "schema": args.table.as_ref().map_or("", TableRef::schema_or_default),
        "dataset": args.table.as_ref().map_or("", |table| table.table.as_str()),
    });
    let answer = client.action(Action::DatasetVerify.name(), &request).await?;
    let report: DatasetVerifyResponse = serde_json::from_value(answer.clone())
        .map_err(|error| Failure::new(Exit::Failed, format!("the server's report cannot be read: {error}")))?;
    if args.json {
        output::line(&answer.to_string())?;
    } else {
        output::line(&sentences(&report))?;
    }
    if report.findings.is_empty() { Ok(()) } else { Err(Failure::silent(Exit::Failed)) }
}

fn sentences(report: &DatasetVerifyResponse) -> String {
    let count = |n: u64| thousands(usize::try_from(n).unwrap_or(usize::MAX));
    let mut lines: Vec<String> = report.pending.iter().chain(&report.findings).map(finding).collect();
    let found = match report.findings.len() {
        0 => "nothing is wrong".to_owned(),
        1 => "1 finding".to_owned(),
        n => format!("{} findings", thousands(n)),
    };
    lines.push(format!(
        "{} files, {} bytes checked: {found}",
        count(report.files_checked),
        count(report.bytes_checked)
    ));
    lines.join("\n")
}

fn finding(finding: &Finding) -> String {
    let Finding { dataset, kind, bucket, key, detail, advice } = finding;
    format!("{kind}: {dataset}: {bucket}/{key}\n    {detail}\n    {advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_come_with_advice() {
        let found = Finding {
            dataset: "public.t".into(),
            kind: "corrupt".into(),
            bucket: "local".into(),
            key: "k".into(),
            detail: "checksum differs".into(),
            advice: "restore it".into(),
        };
        let waiting = Finding { kind: "dropped".into(), ..found.clone() };
        let report = DatasetVerifyResponse {
            findings: vec![found],
            files_checked: 1200,
            bytes_checked: 5,
            pending: vec![waiting],
        };
        let text = sentences(&report);
        assert!(text.starts_with("dropped: public.t: "), "{text}");
        assert!(text.contains("\ncorrupt: public.t: local/k\n    checksum differs\n    restore it\n"), "{text}");
        assert!(text.ends_with("1,200 files, 5 bytes checked: 1 finding"), "{text}");
    }
}
