//! The interactive SQL shell.

use std::{io::IsTerminal, path::PathBuf};

use rustyline::{Editor, error::ReadlineError, history::FileHistory};
use tokio::task::block_in_place;

use super::{
    Exit, Failure,
    format::Layout,
    output::{self, Out},
    sql::{Args, Runner, split},
};

mod complete;
mod helper;
mod keywords;
mod meta;
mod names;

use helper::ShellHelper;
use names::Names;

/// Lines of history that are kept.
const HISTORY_LINES: usize = 10_000;

type ShellEditor = Editor<ShellHelper, FileHistory>;

/// Runs the shell until `\q` or the end of input.
pub async fn run(args: Args) -> Result<(), Failure> {
    if args.output.is_some() {
        return Err(Failure::usage("--output needs a statement").hint("skein sql 'SELECT ...' --output FILE"));
    }
    let client = args.connect.client().await?;
    let layout = Layout::for_stdout(args.max_rows);
    let runner = Runner { client, format: args.chosen_format()?, layout, timing: args.timing };
    let mut shell = Shell { runner, names: Names::default() };
    shell.names.refresh(&shell.runner.client);
    let mut editor = editor(&shell.names)?;
    output::line(&format!(
        "skein {} at {}. Statements end with ';', \\? lists commands, \\q leaves.",
        env!("CARGO_PKG_VERSION"),
        shell.runner.client.url()
    ))?;
    let end = shell.read_and_run(&mut editor).await;
    save_history(&mut editor);
    end
}

struct Shell {
    runner: Runner,
    names: Names,
}

/// What to do after an input.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Continue,
    Leave,
}

impl Shell {
    async fn read_and_run(&mut self, editor: &mut ShellEditor) -> Result<(), Failure> {
        loop {
            match block_in_place(|| editor.readline("skein> ")) {
                Ok(input) => {
                    // A space in front keeps a statement out of the history, so it is not trimmed there.
                    let _ = editor.add_history_entry(input.trim_end());
                    if self.input(&input).await == Next::Leave {
                        return Ok(());
                    }
                }
                // Ctrl-C throws away what was typed; it does not leave.
                Err(ReadlineError::Interrupted) => output::note("(\\q or Ctrl-D leaves)"),
                Err(ReadlineError::Eof) => return Ok(()),
                Err(error) => {
                    return Err(Failure::new(Exit::Failed, format!("cannot read from the terminal: {error}")));
                }
            }
        }
    }

    /// Runs what was typed. Failures are shown, and the shell goes on.
    async fn input(&mut self, input: &str) -> Next {
        let trimmed = input.trim();
        if trimmed.starts_with('\\') {
            return self.meta(trimmed).await;
        }
        for statement in split::statements(trimmed) {
            if let Err(failure) = self.statement(statement).await {
                failure.show();
                break;
            }
        }
        Next::Continue
    }

    async fn meta(&mut self, line: &str) -> Next {
        let command = match meta::parse(line) {
            Ok(command) => command,
            Err(failure) => {
                failure.show();
                return Next::Continue;
            }
        };
        if command == meta::Meta::Quit {
            return Next::Leave;
        }
        let outcome = tokio::select! {
            outcome = meta::run(command, &mut self.runner) => outcome,
            _ = tokio::signal::ctrl_c() => Err(cancelled()),
        };
        if let Err(failure) = outcome {
            failure.show();
        }
        Next::Continue
    }

    /// Runs a statement. Ctrl-C drops it, which cancels it on the server, too.
    async fn statement(&self, statement: &str) -> Result<(), Failure> {
        let run = async {
            let (_, mut out) = self.runner.run(statement, &[], Out::stdout(), 0).await?;
            out.finish()
        };
        tokio::select! {
            outcome = run => outcome?,
            _ = tokio::signal::ctrl_c() => return Err(cancelled()),
        }
        if names::changes_names(statement) {
            self.names.refresh(&self.runner.client);
        }
        Ok(())
    }
}

fn cancelled() -> Failure {
    Failure::new(Exit::Interrupted, "cancelled")
}

fn editor(names: &Names) -> Result<ShellEditor, Failure> {
    let broken = |error: ReadlineError| Failure::new(Exit::Failed, format!("cannot use the terminal: {error}"));
    let config = rustyline::Config::builder()
        .completion_type(rustyline::CompletionType::List)
        .max_history_size(HISTORY_LINES)
        .map_err(broken)?
        .history_ignore_space(true)
        .build();
    let mut editor = ShellEditor::with_config(config).map_err(broken)?;
    editor.set_helper(Some(ShellHelper::new(names.clone(), std::io::stdout().is_terminal())));
    if let Some(path) = history_path() {
        let _ = editor.load_history(&path);
    }
    Ok(editor)
}

/// Losing the history is not worth an error.
fn save_history(editor: &mut ShellEditor) {
    if let Some(path) = history_path() {
        if let Some(folder) = path.parent() {
            let _ = std::fs::create_dir_all(folder);
        }
        let _ = editor.save_history(&path);
    }
}

/// `SKEIN_HISTORY`, or the state folder of the user; empty for none.
fn history_path() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("SKEIN_HISTORY") {
        return Some(PathBuf::from(path)).filter(|path| !path.as_os_str().is_empty());
    }
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")))?;
    Some(state.join("skein/history"))
}
