//! `skein action`: any administrative action, as JSON.

use std::io::Read;

use clap::Args as ClapArgs;
use serde_json::Value;

use super::{Exit, Failure, connect::Connect, output};

const EXAMPLES: &str = "\
Examples:
  skein actions                                            what there is, with requests to copy
  skein action bucket.probe '{\"bucket\": \"local\"}'
  skein action dataset.gc '{\"dry_run\": true}'
  skein action query.cancel '{\"query_id\": \"01J9ZQ...\"}'
  skein action user.create @request.json                   from a file; '-' is stdin";

/// Arguments of `skein action`.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The action's name.
    name: String,
    /// The request, a JSON object; @FILE reads it from a file, '-' from stdin.
    #[arg(default_value = "{}", value_name = "JSON")]
    request: String,
    #[command(flatten)]
    connect: Connect,
}

/// Runs the action and prints its answer.
pub async fn run(args: Args) -> Result<(), Failure> {
    let request = request(&args.request)?;
    let client = args.connect.client().await?;
    let answer = client.action(&args.name, &request).await?;
    let text = serde_json::to_string_pretty(&answer).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    output::line(&text)
}

fn request(argument: &str) -> Result<Value, Failure> {
    let text = match argument.strip_prefix('@') {
        Some(path) => {
            std::fs::read_to_string(path).map_err(|error| Failure::usage(format!("cannot read {path}: {error}")))?
        }
        None if argument == "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            text
        }
        None => argument.to_owned(),
    };
    match serde_json::from_str(&text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(Failure::usage("the request is not a JSON object").hint("'skein actions' shows examples")),
        Err(error) => {
            Err(Failure::usage(format!("the request is not JSON: {error}")).hint("'skein actions' shows examples"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_objects() {
        assert_eq!(request("{\"a\": 1}").unwrap()["a"], 1);
        for wrong in ["[1]", "{", "@/no/such/file"] {
            assert_eq!(request(wrong).unwrap_err().exit(), Exit::Usage, "{wrong}");
        }
    }
}
