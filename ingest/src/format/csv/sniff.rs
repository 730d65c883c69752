//! The dialect of a CSV file, worked out from its beginning.

use std::collections::{HashMap, HashSet};

use arrow::datatypes::Schema;

use super::{dialect::Dialect, infer::is_text};
use crate::{CsvOptions, Error, Result};

const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Records that are compared to find the delimiter.
const RECORDS: usize = 1000;

/// The dialect of `head`, the beginning of a file or all of it; what `options` say is not questioned.
///
/// # Errors
/// When an option is not a single ASCII character, or two are the same.
pub(super) fn sniff(
    head: &[u8],
    whole: bool,
    options: &CsvOptions,
    tabs: bool,
    known: Option<&Schema>,
) -> Result<Dialect> {
    let asked = options.delimiter.map(|c| ascii("csv.delimiter", c)).transpose()?.or(tabs.then_some(b'\t'));
    let quote = options.quote.map(|c| ascii("csv.quote", c)).transpose()?;
    let escape = options.escape.map(|c| ascii("csv.escape", c)).transpose()?;
    let newline =
        if memchr::memchr(b'\n', head).is_none() && memchr::memchr(b'\r', head).is_some() { b'\r' } else { b'\n' };
    let base = Dialect { delimiter: b',', quote: quote.unwrap_or(b'"'), escape, has_header: false, newline };
    let delimiter = asked.unwrap_or_else(|| best_delimiter(head, whole, base));
    let mut dialect = Dialect { delimiter, ..base };
    if quote.is_none() && uses_single_quotes(head, whole, dialect) {
        dialect.quote = b'\'';
        dialect.delimiter = asked.unwrap_or_else(|| best_delimiter(head, whole, dialect));
    }
    if dialect.delimiter == dialect.quote {
        return Err(Error::option("csv.quote", "it is the same character as the delimiter; choose another"));
    }
    dialect.has_header = options.has_header.unwrap_or_else(|| has_header(&records(head, whole, dialect), known));
    Ok(dialect)
}

fn ascii(option: &str, character: char) -> Result<u8> {
    match u8::try_from(character) {
        Ok(byte) if byte.is_ascii() && byte != b'\n' && byte != b'\r' => Ok(byte),
        _ => Err(Error::option(option, format!("'{}' is not one ASCII character", character.escape_default()))),
    }
}

/// The first records; the last one of a part may be cut off and is left out.
fn records(head: &[u8], whole: bool, dialect: Dialect) -> Vec<csv::ByteRecord> {
    let mut records: Vec<_> = dialect.reader(head).into_byte_records().take(RECORDS).filter_map(Result::ok).collect();
    if !whole && records.len() > 1 && records.len() < RECORDS {
        records.pop();
    }
    records
}

/// The delimiter that cuts the records into many fields, and all of them into the same number.
fn best_delimiter(head: &[u8], whole: bool, base: Dialect) -> u8 {
    let mut best = (0.0, b',');
    for delimiter in DELIMITERS {
        let score = score(&records(head, whole, Dialect { delimiter, ..base }));
        if score > best.0 {
            best = (score, delimiter);
        }
    }
    best.1
}

fn score(records: &[csv::ByteRecord]) -> f64 {
    let mut counts: HashMap<usize, u32> = HashMap::new();
    for record in records {
        *counts.entry(record.len()).or_default() += 1;
    }
    let Some((fields, times)) = counts.into_iter().max_by_key(|(fields, times)| (*times, *fields)) else { return 0.0 };
    let total = u32::try_from(records.len()).unwrap_or(u32::MAX);
    let columns = f64::from(u32::try_from(fields).unwrap_or(u32::MAX));
    let agreement = f64::from(times) / f64::from(total);
    // A header disagrees with the rows when the delimiter is a decimal comma.
    let header = if records.first().is_some_and(|first| first.len() == fields) { 1.0 } else { 0.3 };
    columns.ln() * agreement * agreement * header
}

/// Without a single `"`, but with `'` around at least one field of most records.
fn uses_single_quotes(head: &[u8], whole: bool, dialect: Dialect) -> bool {
    if memchr::memchr(b'"', head).is_some() || memchr::memchr(b'\'', head).is_none() {
        return false;
    }
    let records = records(head, whole, dialect);
    let wrapped = |field: &[u8]| field.len() >= 2 && field.starts_with(b"'") && field.ends_with(b"'");
    let opened = |field: &[u8]| field.starts_with(b"'");
    let quoted = records.iter().filter(|record| record.iter().any(wrapped) || record.iter().any(opened)).count();
    quoted * 2 > records.len()
}

/// Whether the first record is names and not values: it consists of distinct texts, and does not look like the others.
fn has_header(records: &[csv::ByteRecord], known: Option<&Schema>) -> bool {
    let Some((first, rest)) = records.split_first() else { return true };
    let names: Vec<&str> = first.iter().map(|name| std::str::from_utf8(name).unwrap_or_default()).collect();
    if let Some(table) = known
        && names.iter().any(|name| table.field_with_name(name).is_ok())
    {
        return true;
    }
    if names.iter().any(|name| !name.is_empty() && !is_text(name)) {
        return false;
    }
    let typed = |column: usize| {
        let mut values = rest.iter().filter_map(|r| r.get(column)).filter(|v| !v.is_empty()).peekable();
        values.peek().is_some() && values.all(|value| std::str::from_utf8(value).is_ok_and(|value| !is_text(value)))
    };
    if (0..names.len()).any(|column| !names[column].is_empty() && typed(column)) {
        return true;
    }
    let distinct = names.iter().collect::<HashSet<_>>().len() == names.len();
    distinct && names.iter().all(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Dialect {
        sniff(text.as_bytes(), true, &CsvOptions::default(), false, None).unwrap()
    }

    #[test]
    fn delimiters_are_found() {
        for (text, delimiter) in [
            ("a,b\n1,2\n", b','),
            ("a;b;c\n1,5;2,5;3\n4,5;5,5;6\n", b';'),
            ("a\tb\n1,1\t2\n", b'\t'),
            ("a|b|c\nx y|2|3\n", b'|'),
            ("name,note\nx,\"a;b;c;d\"\ny,\"e;f;g;h\"\n", b','),
            ("single\nvalues\n", b','),
            ("", b','),
        ] {
            assert_eq!(char::from(found(text).delimiter), char::from(delimiter), "{text:?}");
        }
    }

    #[test]
    fn a_few_ragged_rows_do_not_mislead() {
        let text = format!("a,b,c\n{}1,2\n1|x,2,3\n", "1|x,2,3\n".repeat(50));
        assert_eq!(found(&text).delimiter, b',');
    }

    #[test]
    fn headers_are_told_from_rows() {
        assert!(found("a,b\n1,2\n").has_header);
        assert!(found("name,city\nann,york\n").has_header);
        assert!(!found("1,2\n3,4\n").has_header);
        assert!(!found("ann,1\nbob,2\n").has_header, "a value among the names");
        assert!(found(",a,b\n0,1,2\n").has_header, "an index column without a name");
        assert!(!found("x,x\ny,z\n").has_header, "the same text twice cannot be names");
        assert!(found("a,b\n").has_header, "names without rows");
        assert!(found("d\n2024-01-01\n").has_header);
        let table = Schema::new(vec![arrow::datatypes::Field::new("2024", arrow::datatypes::DataType::Int64, true)]);
        assert!(sniff(b"2024,x\n1,2\n", true, &CsvOptions::default(), false, Some(&table)).unwrap().has_header);
    }

    #[test]
    fn quotes_and_line_ends_are_found() {
        let dialect = found("'a','b'\n'x,y','z'\n");
        assert_eq!((dialect.quote, dialect.delimiter), (b'\'', b','));
        assert_eq!(found("a,b\nit's,2\n").quote, b'"');
        assert_eq!(found("a,b\r1,2\r").newline, b'\r');
        assert_eq!(found("a,b\r\n1,2\r\n").newline, b'\n');
    }

    #[test]
    fn options_are_checked() {
        let options = CsvOptions { delimiter: Some('→'), ..CsvOptions::default() };
        assert!(sniff(b"a", true, &options, false, None).unwrap_err().to_string().contains("csv.delimiter"));
        let options = CsvOptions { delimiter: Some('"'), ..CsvOptions::default() };
        assert!(sniff(b"a", true, &options, false, None).is_err());
    }
}
