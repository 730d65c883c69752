//! `skein drop`: dropping a dataset, a view or an external table.

use clap::{Args as ClapArgs, ValueEnum};
use serde_json::json;
use skein_proto::Action;

use super::{Exit, Failure, connect::Connect, output, table_ref::TableRef};

const EXAMPLES: &str = "\
Examples:
  skein drop flights                   asks first
  skein drop old.orders --yes          does not
  skein drop v --kind view --if-exists --yes

The files of a dropped dataset stay until 'skein action dataset.gc' removes them, after a time of grace.";

/// Arguments of `skein drop`.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What to drop: NAME or SCHEMA.NAME.
    table: TableRef,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
    /// Refuse anything that is not of this kind.
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Something that does not exist is no error.
    #[arg(long)]
    if_exists: bool,
    /// Why, for the record.
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Dataset,
    View,
    External,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Dataset => "dataset",
            Self::View => "view",
            Self::External => "external",
        }
    }
}

/// Drops it, after asking.
pub async fn run(args: Args) -> Result<(), Failure> {
    confirm(&args)?;
    let client = args.connect.client().await?;
    let request = json!({
        "schema": args.table.schema_or_default(),
        "dataset": args.table.table,
        "kind": args.kind.map_or("", Kind::as_str),
        "if_exists": args.if_exists,
        "reason": args.reason,
    });
    let answer = client.action(Action::DatasetDrop.name(), &request).await?;
    let dropped = answer.get("dropped").and_then(serde_json::Value::as_bool).unwrap_or_default();
    output::line(&if dropped { format!("dropped {}", args.table) } else { format!("there is no {}", args.table) })
}

/// A script has to say --yes; a person is asked.
fn confirm(args: &Args) -> Result<(), Failure> {
    if args.yes {
        return Ok(());
    }
    if !output::can_ask() {
        return Err(Failure::usage(format!("dropping {} needs a confirmation", args.table))
            .hint("add --yes where nobody can be asked"));
    }
    match output::ask(&format!("Drop {}? [y/N]", args.table))?.to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::new(Exit::Failed, "nothing was dropped")),
    }
}
