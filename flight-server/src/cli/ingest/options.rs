//! How files are read, as options of the command line.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};
use skein_ingest::{CsvOptions, FileFormat, FileOptions, JsonOptions, OnBadRow};

use crate::cli::{Exit, Failure};

/// The options, which override what is found in the content.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "How files are read")]
pub struct Options {
    /// The format.
    #[arg(short, long, value_enum)]
    format: Option<Format>,
    /// CSV: the character between fields; \t is a tab.
    #[arg(long, value_name = "CHAR", value_parser = character)]
    delimiter: Option<char>,
    /// CSV: the character around fields that need it.
    #[arg(long, value_name = "CHAR", value_parser = character)]
    quote: Option<char>,
    /// CSV: the character before a quote inside a quoted field; by default quotes are doubled.
    #[arg(long, value_name = "CHAR", value_parser = character)]
    escape: Option<char>,
    /// CSV: whether the first row holds the columns' names.
    #[arg(long, value_name = "yes|no", value_parser = yes_or_no)]
    header: Option<bool>,
    /// CSV: names of the columns, separated by commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    columns: Vec<String>,
    /// CSV: a value that means null, besides the empty one; may be given more than once.
    #[arg(long = "null", value_name = "TEXT")]
    null_values: Vec<String>,
    /// CSV and JSON: the character encoding, such as windows-1252.
    #[arg(long, value_name = "NAME")]
    encoding: Option<String>,
    /// CSV and JSON: the type of a column, such as zip=text or price='decimal(10,2)'; may be given more than once.
    #[arg(short, long = "type", value_name = "COLUMN=TYPE", value_parser = column_type)]
    types: Vec<(String, String)>,
    /// JSON: a column for each field of a nested object, named outer.inner.
    #[arg(long)]
    flatten: bool,
    /// Rows that are looked at to find the columns' types [default: 10000].
    #[arg(long, value_name = "N")]
    sample_rows: Option<usize>,
    /// What happens to a row that cannot be read: fail, or skip and list it.
    #[arg(long, value_enum, default_value = "fail")]
    on_bad_row: BadRow,
    /// Load the file even if the same bytes were loaded before.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Csv,
    Tsv,
    #[value(alias = "ndjson", alias = "jsonl")]
    Json,
    #[value(alias = "ipc", alias = "feather")]
    Arrow,
    Parquet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BadRow {
    Fail,
    Skip,
}

impl Options {
    /// The options for one file, as the server takes them.
    pub fn for_file(&self, name: &str) -> Result<Map<String, Value>, Failure> {
        let defaults = FileOptions::default();
        let options = FileOptions {
            file_name: name.to_owned(),
            format: self.format.map(|format| match format {
                Format::Csv => FileFormat::Csv,
                Format::Tsv => FileFormat::Tsv,
                Format::Json => FileFormat::Json,
                Format::Arrow => FileFormat::Arrow,
                Format::Parquet => FileFormat::Parquet,
            }),
            csv: CsvOptions {
                delimiter: self.delimiter,
                quote: self.quote,
                escape: self.escape,
                has_header: self.header,
                column_names: self.columns.clone(),
                null_values: self.null_values.clone(),
                encoding: self.encoding.clone(),
            },
            json: JsonOptions { flatten: self.flatten, ..JsonOptions::default() },
            schema_overrides: self.types.clone(),
            sample_rows: self.sample_rows.unwrap_or(defaults.sample_rows),
            on_bad_row: match self.on_bad_row {
                BadRow::Fail => OnBadRow::Fail,
                BadRow::Skip => OnBadRow::Skip,
            },
            force: self.force,
            ..defaults
        };
        match serde_json::to_value(options) {
            Ok(Value::Object(map)) => Ok(map),
            Ok(_) => Err(Failure::new(Exit::Failed, "the file options are not an object")),
            Err(error) => Err(Failure::new(Exit::Failed, error.to_string())),
        }
    }
}

fn character(text: &str) -> Result<char, String> {
    let text = match text {
        "\\t" | "tab" => "\t",
        other => other,
    };
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(only), None) => Ok(only),
        _ => Err("give one character".to_owned()),
    }
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err("give yes or no".to_owned()),
    }
}

fn column_type(text: &str) -> Result<(String, String), String> {
    match text.rsplit_once('=') {
        Some((column, data_type)) if !column.is_empty() && !data_type.is_empty() => {
            Ok((column.to_owned(), data_type.to_owned()))
        }
        _ => Err("give COLUMN=TYPE, such as zip=text".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Wrapper {
        #[command(flatten)]
        options: Options,
    }

    fn options(line: &[&str]) -> Options {
        Wrapper::parse_from([&["ingest"], line].concat()).options
    }

    #[test]
    fn options_become_what_the_server_takes() {
        let line = [
            "--delimiter",
            "\\t",
            "--header",
            "no",
            "--type",
            "a=b=text",
            "--null",
            "NA",
            "--null",
            "-",
            "--on-bad-row",
            "skip",
            "--format",
            "ndjson",
        ];
        let map = options(&line).for_file("x.csv").unwrap();
        let read: FileOptions = serde_json::from_value(Value::Object(map)).unwrap();
        assert_eq!(read.file_name, "x.csv");
        assert_eq!(read.csv.delimiter, Some('\t'));
        assert_eq!(read.csv.has_header, Some(false));
        assert_eq!(read.csv.null_values, ["NA", "-"]);
        assert_eq!(read.schema_overrides, [("a=b".to_owned(), "text".to_owned())]);
        assert_eq!(read.on_bad_row, OnBadRow::Skip);
        assert_eq!(read.format, Some(FileFormat::Json));
    }

    #[test]
    fn nonsense_is_refused_before_anything_is_sent() {
        assert!(character("ab").is_err());
        assert!(yes_or_no("maybe").is_err());
        assert!(column_type("price").is_err());
    }
}
