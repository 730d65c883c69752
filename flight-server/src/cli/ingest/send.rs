//! Sending one file, with a progress bar when somebody is looking.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream::BoxStream};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use serde_json::{Map, Value};
use skein_client::{Client, IngestTarget, Report, chunks};

use super::paths::Input;
use crate::cli::{Exit, Failure, output};

/// A file that was sent.
pub struct Sent {
    /// What the server says.
    pub report: Report,
    /// How long it took.
    pub elapsed: Duration,
}

/// Sends a file and waits for its commit.
pub async fn send(
    client: &Client,
    target: &IngestTarget,
    options: &Map<String, Value>,
    input: &Input,
    quiet: bool,
) -> Result<Sent, Failure> {
    let bar = bar(input, quiet);
    let start = Instant::now();
    let body = counted(open(input).await?, bar.clone());
    let rows = bar.clone();
    let report = client
        .ingest_file(target, options, body, move |progress| {
            rows.set_message(format!("{} rows", HumanCount(progress.rows)));
        })
        .await;
    bar.finish_and_clear();
    Ok(Sent { report: report?, elapsed: start.elapsed() })
}

async fn open(input: &Input) -> Result<BoxStream<'static, std::io::Result<Bytes>>, Failure> {
    Ok(match input {
        Input::Stdin => chunks(tokio::io::stdin()).boxed(),
        Input::File { path, .. } => {
            let file = tokio::fs::File::open(path).await;
            let file =
                file.map_err(|error| Failure::new(Exit::Failed, format!("cannot read {}: {error}", path.display())))?;
            chunks(file).boxed()
        }
    })
}

/// Moves the bar on as bytes leave.
fn counted(
    body: BoxStream<'static, std::io::Result<Bytes>>,
    bar: ProgressBar,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
    body.inspect(move |chunk| {
        if let Ok(chunk) = chunk {
            bar.inc(chunk.len() as u64);
        }
    })
}

fn bar(input: &Input, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let (bar, template) = match input {
        Input::File { bytes, .. } if *bytes > 0 => {
            (ProgressBar::new(*bytes), "{prefix} [{bar:30}] {bytes}/{total_bytes} {msg} {binary_bytes_per_sec} {eta}")
        }
        _ => (ProgressBar::new_spinner(), "{prefix} {spinner} {bytes} {msg} {binary_bytes_per_sec}"),
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    // indicatif shows nothing where stderr is no terminal.
    let bar = bar.with_style(style.progress_chars("=> ")).with_prefix(short(&input.name()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// The end of a long name, which tells it from its neighbours.
fn short(name: &str) -> String {
    let limit = output::terminal_width().unwrap_or(80) / 3;
    let length = name.chars().count();
    if length <= limit {
        name.to_owned()
    } else {
        format!("…{}", name.chars().skip(length - limit + 1).collect::<String>())
    }
}
