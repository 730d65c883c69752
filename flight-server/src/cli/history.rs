//! `skein history`: the snapshots of a dataset.

use clap::Args as ClapArgs;

use super::{
    Exit, Failure,
    connect::Connect,
    listing::Listing,
    table_ref::{TableRef, quote_text},
};

const EXAMPLES: &str = "\
Examples:
  skein history flights
  skein history flights --limit 5 -F json

Read an older snapshot:
  skein sql 'SELECT count(*) FROM flights VERSION AS OF 3'
  skein sql \"SELECT count(*) FROM flights TIMESTAMP AS OF '2026-01-31T12:00:00Z'\"";

/// Arguments of `skein history`.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The dataset: NAME or SCHEMA.NAME.
    table: TableRef,
    /// Only the newest so many.
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    connect: Connect,
}

/// Lists the snapshots, newest first.
pub async fn run(args: Args) -> Result<(), Failure> {
    let client = args.connect.client().await?;
    // Fails for a name that does not exist; what has no snapshots is another matter.
    client.schema(&args.table.path()).await?;
    let limit = args.limit.map_or_else(String::new, |limit| format!(" LIMIT {limit}"));
    let sql = format!(
        "SELECT version, committed_at, operation, author, rows_added, rows_removed, rows, files, bytes, reason \
         FROM system.snapshots WHERE schema_name = {} AND table_name = {} ORDER BY version DESC{limit}",
        quote_text(args.table.schema_or_default()),
        quote_text(&args.table.table)
    );
    if args.listing.show(&client, &sql).await? == 0 && args.limit != Some(0) {
        return Err(Failure::new(Exit::NotFound, format!("{} has no snapshots", args.table))
            .hint("views and external tables have none; 'skein ls' shows what is what"));
    }
    Ok(())
}
