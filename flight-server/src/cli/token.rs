//! `skein token`: API tokens.

use clap::Subcommand;
use serde_json::{Value, json};
use skein_model::parse_duration;
use skein_proto::Action;

use super::{Exit, Failure, connect::Connect, listing::Listing, output};

/// For its help.
pub const EXAMPLES: &str = "\
Examples:
  skein token create --label notebook --expires 30d
  SKEIN_TOKEN=$(skein token create --for etl --label nightly)
  skein token list
  skein token revoke 01J9ZQ0000000000000000000

A token is shown once, on stdout; what is said about it goes to stderr. Use it as SKEIN_TOKEN, or as \
'authorization: Bearer ...' from any Flight client.";

/// What `skein token` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a token and print it.
    Create {
        /// Whose token; your own by default.
        #[arg(long = "for", value_name = "USER")]
        owner: Option<String>,
        /// What it is for.
        #[arg(short, long, default_value = "")]
        label: String,
        /// How long it is valid, such as 12h or 30d; for ever by default.
        #[arg(short, long, value_name = "DURATION")]
        expires: Option<String>,
        #[command(flatten)]
        connect: Connect,
    },
    /// List the tokens, without their secrets.
    List {
        #[command(flatten)]
        listing: Listing,
        #[command(flatten)]
        connect: Connect,
    },
    /// Revoke a token; it stops working at once.
    Revoke {
        /// The token's id, as 'skein token list' shows it.
        id: String,
        #[command(flatten)]
        connect: Connect,
    },
}

/// Runs `skein token`.
pub async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Create { owner, label, expires, connect } => {
            let mut request = json!({ "user": owner.unwrap_or_default(), "label": label });
            if let Some(text) = expires {
                request["expires_in_seconds"] = json!(seconds(&text)?);
            }
            let client = connect.client().await?;
            created(&client.action(Action::TokenCreate.name(), &request).await?)
        }
        Command::List { listing, connect } => {
            let client = connect.client().await?;
            listing.show(&client, "SELECT * FROM system.tokens ORDER BY created_at").await.map(|_| ())
        }
        Command::Revoke { id, connect } => {
            let client = connect.client().await?;
            let answer = client.action(Action::TokenRevoke.name(), &json!({ "id": id })).await?;
            if answer.get("revoked").and_then(Value::as_bool) == Some(false) {
                return Err(Failure::new(Exit::NotFound, format!("there is no token {id}"))
                    .hint("'skein token list' shows them"));
            }
            output::line(&format!("revoked token {id}"))
        }
    }
}

fn seconds(text: &str) -> Result<u64, Failure> {
    let duration = parse_duration(text).filter(|duration| duration.as_secs() > 0);
    duration.map(|duration| duration.as_secs()).ok_or_else(|| {
        Failure::usage(format!("--expires {text}: that is no duration")).hint("write it like 90m, 12h or 30d")
    })
}

/// Only the token goes to stdout, so that it can be captured.
fn created(answer: &Value) -> Result<(), Failure> {
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
    let expires = match text("expires_at") {
        "" => "it does not expire".to_owned(),
        at => format!("it expires at {at}"),
    };
    output::note(&format!("token {}: {expires}. It cannot be shown again.", text("id")));
    output::line(text("token"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_a_duration() {
        assert_eq!(seconds("30d").unwrap(), 30 * 86_400);
        assert_eq!(seconds("never").unwrap_err().exit(), Exit::Usage);
        assert!(seconds("0s").is_err());
    }
}
