//! The shell's own commands, which start with a backslash.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::{
    cli::{
        Failure, describe,
        format::{Format, Layout},
        listing, ls,
        output::{self, Out},
        sql::{Runner, split},
        table_ref::TableRef,
    },
    config::suggest::closest,
};

/// A command, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meta {
    /// `\d`: tables and views; `\d TABLE`: one of them.
    Describe(Option<TableRef>),
    /// `\dt`.
    Tables,
    /// `\dv`.
    Views,
    /// `\l`.
    Schemas,
    /// `\timing`; `None` switches over.
    Timing(Option<bool>),
    /// `\format`; `None` shows it.
    Format(Option<Format>),
    /// `\i FILE`.
    Include(PathBuf),
    /// `\?`.
    Help,
    /// `\q`.
    Quit,
}

/// The commands, for help and completion.
pub const COMMANDS: [(&str, &str); 9] = [
    ("\\d [TABLE]", "tables and views, or the columns of one"),
    ("\\dt", "tables"),
    ("\\dv", "views"),
    ("\\l", "schemas"),
    ("\\timing [on|off]", "say how long statements take"),
    ("\\format [FORMAT]", "table, csv or json"),
    ("\\i FILE", "run the statements in a file"),
    ("\\?", "this help"),
    ("\\q", "leave (also Ctrl-D)"),
];

const NOTES: &str = "
Ctrl-C cancels the running statement. Tab completes keywords, tables and columns.
Snapshots: SELECT * FROM t VERSION AS OF 3. State: system.datasets, system.snapshots, system.queries, ...";

/// Reads a command.
pub fn parse(line: &str) -> Result<Meta, Failure> {
    let line = line.trim().trim_end_matches(';').trim_end();
    let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let argument = Some(argument.trim()).filter(|argument| !argument.is_empty());
    Ok(match name {
        "\\d" => Meta::Describe(argument.map(str::parse).transpose().map_err(Failure::usage)?),
        "\\dt" => Meta::Tables,
        "\\dv" => Meta::Views,
        "\\l" | "\\dn" => Meta::Schemas,
        "\\timing" => Meta::Timing(argument.map(on_or_off).transpose()?),
        "\\format" => Meta::Format(argument.map(format).transpose()?),
        "\\i" => Meta::Include(argument.ok_or_else(|| Failure::usage("\\i needs a file"))?.into()),
        "\\?" | "\\h" | "\\help" => Meta::Help,
        "\\q" | "\\quit" | "\\exit" => Meta::Quit,
        other => return Err(unknown(other)),
    })
}

fn unknown(name: &str) -> Failure {
    let names = COMMANDS.iter().map(|(usage, _)| usage.split(' ').next().unwrap_or(usage));
    let failure = Failure::usage(format!("there is no command {name}"));
    match closest(name, names).filter(|_| name.len() > 3) {
        Some(close) => failure.hint(format!("did you mean {close}?")),
        None => failure.hint("\\? lists the commands"),
    }
}

fn on_or_off(text: &str) -> Result<bool, Failure> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(Failure::usage("\\timing takes on or off")),
    }
}

fn format(text: &str) -> Result<Format, Failure> {
    let format = Format::from_str(text, true).map_err(|_| Failure::usage("\\format takes table, csv or json"))?;
    if format.is_binary() {
        return Err(
            Failure::usage("a shell cannot show binary formats").hint("skein sql 'SELECT ...' -o FILE writes them")
        );
    }
    Ok(format)
}

/// Runs a command (other than `\q`).
pub async fn run(command: Meta, runner: &mut Runner) -> Result<(), Failure> {
    let list = async |kinds: ls::Kinds| {
        listing::show(&runner.client, &ls::query(kinds, None), runner.format, Layout::for_list()).await.map(|_| ())
    };
    match command {
        Meta::Describe(None) => list(ls::Kinds::All).await,
        Meta::Tables => list(ls::Kinds::Tables).await,
        Meta::Views => list(ls::Kinds::Views).await,
        Meta::Describe(Some(table)) => {
            describe::columns(&runner.client, &table, runner.format, Layout::for_list()).await
        }
        Meta::Schemas => {
            let sql = "SELECT schema_name AS schema FROM information_schema.schemata ORDER BY 1";
            listing::show(&runner.client, sql, runner.format, Layout::for_list()).await.map(|_| ())
        }
        Meta::Timing(on) => {
            runner.timing = on.unwrap_or(!runner.timing);
            output::line(if runner.timing { "timing is on" } else { "timing is off" })
        }
        Meta::Format(None) => output::line(&format!("the format is {}", name_of(runner.format))),
        Meta::Format(Some(format)) => {
            runner.format = format;
            output::line(&format!("the format is {}", name_of(format)))
        }
        Meta::Include(path) => include(runner, &path).await,
        Meta::Help => output::line(&help()),
        Meta::Quit => Ok(()),
    }
}

async fn include(runner: &Runner, path: &std::path::Path) -> Result<(), Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
    for statement in split::statements(&text) {
        let (_, mut out) = runner.run(statement, &[], Out::stdout(), 0).await?;
        out.finish()?;
    }
    Ok(())
}

fn name_of(format: Format) -> String {
    format.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn help() -> String {
    let lines: Vec<String> = COMMANDS.iter().map(|(usage, what)| format!("  {usage:<18} {what}")).collect();
    format!("{}\n{NOTES}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_with_their_arguments() {
        assert_eq!(parse("\\d").unwrap(), Meta::Describe(None));
        assert_eq!(parse("\\d sales.Orders ;").unwrap(), Meta::Describe(Some("sales.Orders".parse().unwrap())));
        assert_eq!(parse("\\timing off").unwrap(), Meta::Timing(Some(false)));
        assert_eq!(parse("\\format JSON").unwrap(), Meta::Format(Some(Format::Json)));
        assert_eq!(parse("\\q").unwrap(), Meta::Quit);
        assert!(parse("\\format parquet").is_err());
        assert!(parse("\\nonsense").is_err());
    }

    #[test]
    fn help_lists_every_command() {
        let text = help();
        assert!(COMMANDS.iter().all(|(usage, _)| text.contains(usage)));
        for (usage, _) in COMMANDS {
            let name = usage.split(' ').next().unwrap();
            assert!(parse(name).is_ok() || name == "\\i", "{name} is in the help but is no command");
        }
    }
}
