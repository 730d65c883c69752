//! `skein actions`: what actions the server offers.

use clap::Args as ClapArgs;
use serde_json::json;

use super::{Failure, connect::Connect, output};

const EXAMPLES: &str = "\
Examples:
  skein actions
  skein actions --json | jq -r .name

Run one with 'skein action NAME JSON'.";

/// Arguments of `skein actions`.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Print a JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

/// Lists the actions.
pub async fn run(args: Args) -> Result<(), Failure> {
    let client = args.connect.client().await?;
    for action in client.actions().await? {
        let line = if args.json {
            json!({ "name": action.name, "description": action.description }).to_string()
        } else {
            format!("{}\n    {}", action.name, action.description.trim().replace('\n', "\n    "))
        };
        output::line(&line)?;
    }
    Ok(())
}
