//! Commands that show what a query returns.

use clap::Args;
use skein_client::Client;

use super::{
    Failure,
    format::{self, Format, Layout},
    output::Out,
};

/// How a listing is written.
#[derive(Debug, Clone, Args)]
pub struct Listing {
    /// How the list is written.
    #[arg(short = 'F', long, value_enum, default_value = "table")]
    pub format: Format,
}

impl Listing {
    /// Runs the query and writes its rows to stdout. Returns how many there were.
    pub async fn show(&self, client: &Client, sql: &str) -> Result<u64, Failure> {
        show(client, sql, self.format, Layout::for_list()).await
    }
}

/// Runs a query and writes its rows to stdout.
pub async fn show(client: &Client, sql: &str, format: Format, layout: Layout) -> Result<u64, Failure> {
    let rows = client.query(sql).await?;
    let (count, mut out) = format::write_stream(rows, format, layout, Out::stdout()).await?;
    out.finish()?;
    Ok(count)
}
