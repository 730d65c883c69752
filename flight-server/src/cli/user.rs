//! `skein user`: users of the server.

use clap::Subcommand;
use serde_json::json;
use skein_proto::Action;

use super::{Failure, connect::Connect, listing::Listing, output, secret};

/// For its help.
pub const EXAMPLES: &str = "\
Examples:
  skein user create ada --admin               asks for the password; the first user turns login on
  skein user create etl --password-stdin < password.txt
  SKEIN_NEW_PASSWORD=... skein user set-password etl
  skein user list
  skein user delete etl

Passwords come from a prompt, from stdin or from SKEIN_NEW_PASSWORD; never from the command line, which others can see. \
SKEIN_PASSWORD is the password that you yourself log in with.";

/// What `skein user` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a user.
    Create {
        /// The user's name.
        name: String,
        /// May administer the server.
        #[arg(long)]
        admin: bool,
        /// Read the password from stdin.
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        connect: Connect,
    },
    /// Delete a user and their tokens.
    Delete {
        /// The user's name.
        name: String,
        /// A user who does not exist is no error.
        #[arg(long)]
        if_exists: bool,
        #[command(flatten)]
        connect: Connect,
    },
    /// List the users.
    List {
        #[command(flatten)]
        listing: Listing,
        #[command(flatten)]
        connect: Connect,
    },
    /// Change a user's password.
    SetPassword {
        /// The user's name.
        name: String,
        /// Read the password from stdin.
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        connect: Connect,
    },
}

/// Runs `skein user`.
pub async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Create { name, admin, password_stdin, connect } => {
            let client = connect.client().await?;
            let password = secret::new_password(&name, password_stdin)?;
            let request = json!({ "name": name, "password": password, "admin": admin });
            client.action(Action::UserCreate.name(), &request).await?;
            output::line(&format!("created {}{name}", if admin { "administrator " } else { "user " }))
        }
        Command::Delete { name, if_exists, connect } => {
            let client = connect.client().await?;
            let request = json!({ "name": name, "if_exists": if_exists });
            let answer = client.action(Action::UserDelete.name(), &request).await?;
            let deleted = answer.get("deleted").and_then(serde_json::Value::as_bool).unwrap_or_default();
            output::line(&if deleted { format!("deleted user {name}") } else { format!("there is no user {name}") })
        }
        Command::List { listing, connect } => {
            let client = connect.client().await?;
            listing.show(&client, "SELECT * FROM system.users ORDER BY user_name").await.map(|_| ())
        }
        Command::SetPassword { name, password_stdin, connect } => {
            let client = connect.client().await?;
            let password = secret::new_password(&name, password_stdin)?;
            let request = json!({ "name": name, "password": password });
            client.action(Action::UserSetPassword.name(), &request).await?;
            output::line(&format!("changed the password of {name}"))
        }
    }
}
