//! `skein ingest`: files into a dataset.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};
use skein_client::{Client, IngestMode, IngestTarget};

use super::{
    Exit, Failure,
    connect::Connect,
    output,
    table_ref::{TableRef, quote_name},
};

mod options;
mod paths;
mod send;
mod summary;

use paths::Input;

const EXAMPLES: &str = "\
Examples:
  skein ingest flights.csv --into flights
  skein ingest data/*.parquet --into sales.orders --mode append
  skein ingest exports/ --into events                    every data file below the folder
  pg_dump_as_csv | skein ingest - --into users --format csv
  skein ingest prices.csv --into prices --delimiter ';' --type price='decimal(10,2)'
  skein ingest dirty.csv --into clean --on-bad-row skip
  skein ingest today.csv --into today --mode replace

Parquet, Arrow IPC, CSV, TSV and JSON (an array, or one object a line), each plain or compressed with gzip, zstd, bzip2 or \
xz. Format, compression, CSV dialect and types are found from the content; the options below override that.

Each file is a commit of its own: all of its rows become visible at once, or none. A file that was loaded before is \
recognised by its SHA-256 and not loaded again (--force does).";

/// Arguments of `skein ingest`.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Files, folders, glob patterns, or '-' for stdin.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The dataset: NAME or SCHEMA.NAME.
    #[arg(short, long, value_name = "DATASET")]
    into: TableRef,
    /// What may already be there. With several files, 'create' and 'replace' are about the first.
    #[arg(short, long, value_enum, default_value = "create-append")]
    mode: Mode,
    /// The bucket for a dataset that is created. Default: the server's first.
    #[arg(long, value_name = "NAME")]
    bucket: Option<String>,
    /// Go on with the next file when one fails; the exit code still says that one did.
    #[arg(short, long)]
    keep_going: bool,
    /// Print a JSON object for each file instead of a sentence.
    #[arg(long)]
    json: bool,
    /// No progress bar.
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    options: options::Options,
    #[command(flatten)]
    connect: Connect,
}

/// What may already be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// The dataset must not exist.
    Create,
    /// The dataset must exist.
    Append,
    /// Replace its rows and columns, or create it.
    Replace,
    /// Append, or create it.
    CreateAppend,
}

impl Mode {
    /// The mode for a file: once one is in, the others are added to it.
    fn after(self, committed: bool) -> IngestMode {
        match self {
            _ if committed => IngestMode::Append,
            Self::Create => IngestMode::Create,
            Self::Append => IngestMode::Append,
            Self::Replace => IngestMode::Replace,
            Self::CreateAppend => IngestMode::CreateAppend,
        }
    }
}

/// Sends the files, one after the other.
pub async fn run(args: Args) -> Result<(), Failure> {
    let inputs = paths::expand(&args.paths)?;
    let client = args.connect.client().await?;
    let total = inputs.len();
    let (mut done, mut failed) = (summary::Total::default(), None);
    for input in inputs {
        match one(&args, &client, &input, done.files > 0).await {
            Ok(sent) => {
                summary::show(&input, &sent, args.json)?;
                done.add(&sent);
            }
            Err(failure) => {
                let failure = if total == 1 { failure } else { failure.while_doing(&input.name()) };
                if !args.keep_going {
                    return Err(done.unfinished(failure, total));
                }
                failure.show();
                failed.get_or_insert(failure.exit());
            }
        }
    }
    if total > 1 && !args.json {
        output::line(&done.sentence(total))?;
    }
    match failed {
        Some(exit) => Err(Failure::silent(if exit == Exit::Success { Exit::Failed } else { exit })),
        None => Ok(()),
    }
}

async fn one(args: &Args, client: &Client, input: &Input, committed: bool) -> Result<send::Sent, Failure> {
    let mut target = IngestTarget::table(&args.into.table).with_mode(args.mode.after(committed));
    if let Some(schema) = &args.into.schema {
        target = target.in_schema(schema);
    }
    if let Some(bucket) = &args.bucket {
        target = target.in_bucket(bucket);
    }
    let options = args.options.for_file(&input.name())?;
    send::send(client, &target, &options, input, args.quiet).await.map_err(|failure| match &args.into.schema {
        Some(schema) if failure.says("schema ") => failure.hint(create_schema(schema)),
        _ => failure,
    })
}

/// What to type when the schema is missing. It is not created unasked: a slip of the keyboard would make one, too.
fn create_schema(schema: &str) -> String {
    format!("create it first: skein sql 'CREATE SCHEMA {}'", quote_name(schema).replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_file_creates_or_replaces() {
        assert_eq!(Mode::Replace.after(false), IngestMode::Replace);
        assert_eq!(Mode::Replace.after(true), IngestMode::Append);
        assert_eq!(Mode::Create.after(true), IngestMode::Append);
        assert_eq!(Mode::CreateAppend.after(false), IngestMode::CreateAppend);
    }
}
