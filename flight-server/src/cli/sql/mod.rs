//! `skein sql`: statements from an argument, a file or stdin.

use std::{
    io::{IsTerminal, Read},
    path::PathBuf,
};

use clap::Args as ClapArgs;

use super::{
    Failure,
    connect::Connect,
    format::{Format, Layout},
    output::Out,
};

mod runner;
pub mod split;

pub use runner::Runner;

const EXAMPLES: &str = "\
Examples:
  skein sql \"SELECT carrier, count(*) FROM flights GROUP BY carrier ORDER BY 2 DESC\"
  skein sql -p UA -p 60 'SELECT count(*) FROM flights WHERE carrier = $1 AND dep_delay > $2'
  skein sql 'SELECT * FROM flights' -o flights.parquet    the ending chooses the format
  skein sql -F json 'SELECT * FROM airports LIMIT 3' | jq .name
  skein sql -f report.sql                                 statements end with ';'
  echo 'SHOW TABLES' | skein sql
  skein sql                                               a shell; \\? lists its commands

State is SQL, too: system.datasets, system.snapshots, system.files, system.queries, system.sessions, ...";

/// Arguments of `skein sql`.
#[derive(Debug, ClapArgs)]
#[command(
    long_about = "Run SQL: a statement, a file, or an interactive shell.\n\nWithout a statement and a file, statements are read from stdin; when that is a terminal, a shell starts.",
    after_help = EXAMPLES
)]
pub struct Args {
    /// The statement; several are separated by ';'.
    pub statement: Option<String>,
    /// Read statements from this file ('-' is stdin).
    #[arg(short, long, value_name = "FILE", conflicts_with = "statement")]
    pub file: Option<PathBuf>,
    /// How results are written. Default: table, or what the ending of --output says.
    #[arg(short = 'F', long, value_enum)]
    pub format: Option<Format>,
    /// Write the result to this file; it appears when it is complete.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The value of the next parameter ($1, $2, ... or ?) of the statement. The server converts it to the type it needs.
    #[arg(short, long = "param", value_name = "VALUE", allow_hyphen_values = true)]
    pub params: Vec<String>,
    /// Rows that a table shows; 0 for all. Default: 200 on a terminal, all elsewhere.
    #[arg(long, value_name = "N")]
    pub max_rows: Option<usize>,
    /// Say on stderr how long each statement took.
    #[arg(long)]
    pub timing: bool,
    #[command(flatten)]
    pub connect: Connect,
}

impl Args {
    /// Whether a person is typing.
    pub fn is_interactive(&self) -> bool {
        self.statement.is_none() && self.file.is_none() && std::io::stdin().is_terminal()
    }

    /// The format, as chosen or as the output file's name says.
    pub fn chosen_format(&self) -> Result<Format, Failure> {
        match (self.format, &self.output) {
            (Some(format), _) => Ok(format),
            (None, None) => Ok(Format::Table),
            (None, Some(path)) => Format::of_file(path).ok_or_else(|| {
                Failure::usage(format!("the name {} does not tell a format", path.display()))
                    .hint("give one with --format, or use an ending such as .parquet, .csv, .json or .arrow")
            }),
        }
    }

    fn text(&self) -> Result<String, Failure> {
        if let Some(statement) = &self.statement {
            return Ok(statement.clone());
        }
        match self.file.as_deref() {
            Some(path) if path.as_os_str() != "-" => std::fs::read_to_string(path)
                .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display()))),
            _ => {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text)?;
                Ok(text)
            }
        }
    }
}

/// Runs the statements, one after the other, and stops at the first that fails.
pub async fn run(args: Args) -> Result<(), Failure> {
    let format = args.chosen_format()?;
    let text = args.text()?;
    let statements = split::statements(&text);
    if statements.is_empty() {
        return Err(Failure::usage("there is no statement to run").hint("for example: skein sql 'SELECT 1'"));
    }
    let layout = if args.output.is_some() { Layout::default() } else { Layout::for_stdout(args.max_rows) };
    let client = args.connect.client().await?;
    let runner = Runner { client, format, layout, timing: args.timing };
    let mut out = match &args.output {
        Some(path) => Out::file(path)?,
        None => Out::stdout(),
    };
    let mut results = 0usize;
    for (at, statement) in statements.iter().enumerate() {
        let outcome = runner.run(statement, &args.params, out, results).await;
        let (wrote_rows, next) = outcome.map_err(|failure| place(failure, at, statements.len()))?;
        out = next;
        results += usize::from(wrote_rows);
    }
    out.finish()
}

/// Says which of several statements failed.
fn place(failure: Failure, at: usize, count: usize) -> Failure {
    if count == 1 { failure } else { failure.while_doing(&format!("statement {} of {count}", at + 1)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Wrapper {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &[&str]) -> Args {
        Wrapper::parse_from([&["sql"], line].concat()).args
    }

    #[test]
    fn the_output_files_name_chooses_the_format() {
        assert_eq!(args(&["select 1", "-o", "x.parquet"]).chosen_format().unwrap(), Format::Parquet);
        assert_eq!(args(&["select 1", "-o", "x.parquet", "-F", "csv"]).chosen_format().unwrap(), Format::Csv);
        assert_eq!(args(&["select 1"]).chosen_format().unwrap(), Format::Table);
        assert!(args(&["select 1", "-o", "x.bin"]).chosen_format().is_err());
    }

    #[test]
    fn parameters_may_be_negative() {
        assert_eq!(args(&["select $1", "-p", "-5"]).params, ["-5"]);
    }
}
