//! The `skein` command line. One file a command; all but `serve`, `config`, `completions` and `version` are clients over
//! Flight.
//!
//! A command is an `Args` struct (its help is its documentation) and an `async fn run(args) -> Result<(), Failure>`.
//! Results go to stdout through [`output`], errors to stderr through [`Failure`].

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod action;
mod actions;
#[cfg(test)]
mod client_tests;
mod completions;
mod config;
mod connect;
mod describe;
mod drop;
mod exit;
mod failure;
mod format;
mod history;
mod ingest;
mod listing;
mod ls;
mod output;
mod secret;
mod serve;
mod shell;
mod sql;
mod table_ref;
mod token;
mod user;
mod verify;
mod version;

pub use exit::Exit;
pub use failure::Failure;

const ABOUT: &str = "Tables on object storage for every Arrow client, over Arrow Flight.";

const AFTER_HELP: &str = "\
Start here:
  skein serve                                a server on this machine, data in ./skein-data
  skein ingest flights.csv --into flights    load a file
  skein sql \"SELECT carrier, count(*) FROM flights GROUP BY carrier\"
  skein sql                                  an interactive shell

Connection: --url or SKEIN_URL says where the server is (default grpc://127.0.0.1:8815). Log in with SKEIN_USER and \
SKEIN_PASSWORD, or with SKEIN_TOKEN.

Exit codes: 0 success, 1 the request failed (or verify found something), 2 wrong usage or configuration, 3 cannot \
connect, 4 not logged in or not allowed, 5 not found, 6 already exists or conflict, 130 interrupted.

'skein help COMMAND' explains a command, with examples.";

/// The command line, as clap sees it.
#[derive(Debug, Parser)]
#[command(name = "skein", version, about = ABOUT, after_help = AFTER_HELP, max_term_width = 110)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a server.
    Serve(serve::Args),
    /// Run SQL: a statement, a file, or an interactive shell.
    Sql(sql::Args),
    /// Load files into a dataset.
    Ingest(ingest::Args),
    /// List datasets, views and external tables.
    Ls(ls::Args),
    /// Show the columns and facts of a dataset.
    Describe(describe::Args),
    /// Show the snapshots of a dataset.
    History(history::Args),
    /// Drop a dataset, a view or an external table.
    Drop(drop::Args),
    /// Run an administrative action.
    Action(action::Args),
    /// List the administrative actions.
    Actions(actions::Args),
    /// Manage users.
    #[command(subcommand, after_help = user::EXAMPLES)]
    User(user::Command),
    /// Manage API tokens.
    #[command(subcommand, after_help = token::EXAMPLES)]
    Token(token::Command),
    /// Check stored files for loss and damage.
    Verify(verify::Args),
    /// Check or show the configuration of a server.
    #[command(subcommand, after_help = config::EXAMPLES)]
    Config(config::Command),
    /// Print a completion script for a shell.
    Completions(completions::Args),
    /// Print the version.
    Version,
}

/// Plans are trees as deep as a statement is long, and are walked recursively. The longest statement that is accepted needs about a
/// third of this in a build without optimisation. Only what is used of a stack takes memory.
const THREAD_STACK_BYTES: usize = 256 << 20;

/// Parses the process's arguments, runs the command and reports its outcome.
pub fn main() -> ExitCode {
    crate::allocator::give_back_large_blocks();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    let runtime = match threads.enable_all().thread_stack_size(THREAD_STACK_BYTES).build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::new(Exit::Failed, format!("cannot start threads: {error}")).report(),
    };
    let outcome = runtime.block_on(run(cli.command));
    // What still runs (a query, a read of stdin) must not keep the process alive.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => Exit::Success.into(),
        Err(failure) => failure.report(),
    }
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(args) => serve::run(args).await,
        Command::Config(command) => config::run(&command),
        Command::Completions(args) => completions::run(&args),
        Command::Version => version::run(),
        Command::Sql(args) if args.is_interactive() => shell::run(args).await,
        client => {
            // On another thread, so that Ctrl-C is heard while a command reads stdin or asks a question.
            let running = tokio::spawn(run_client(client));
            tokio::select! {
                outcome = running => outcome.unwrap_or_else(|error| Err(Failure::new(Exit::Failed, error.to_string()))),
                _ = tokio::signal::ctrl_c() => {
                    secret::settle().await;
                    Err(Failure::silent(Exit::Interrupted))
                }
            }
        }
    }
}

/// The commands that a Ctrl-C ends as a whole.
async fn run_client(command: Command) -> Result<(), Failure> {
    match command {
        Command::Sql(args) => sql::run(args).await,
        Command::Ingest(args) => ingest::run(args).await,
        Command::Ls(args) => ls::run(args).await,
        Command::Describe(args) => describe::run(args).await,
        Command::History(args) => history::run(args).await,
        Command::Drop(args) => drop::run(args).await,
        Command::Action(args) => action::run(args).await,
        Command::Actions(args) => actions::run(args).await,
        Command::User(command) => user::run(command).await,
        Command::Token(command) => token::run(command).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Serve(_) | Command::Config(_) | Command::Completions(_) | Command::Version => Ok(()),
    }
}

/// What clap has to say: help goes to stdout and is a success, everything else is a usage error.
fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Success.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let leaf = ["version", "help"].contains(&command.get_name());
            assert!(leaf || help.contains("Examples:"), "{} has no examples", command.get_name());
        }
    }

    #[test]
    fn examples_fit_a_narrow_terminal() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            // Paragraphs are wrapped; examples must not be.
            for line in help.lines().filter(|line| line.starts_with("  ")) {
                assert!(line.chars().count() <= 98, "{}: {line}", command.get_name());
            }
        }
    }

    #[test]
    fn secrets_are_never_arguments() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str();
                assert!(!["password", "token", "secret"].contains(&name), "{}: --{name}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}
