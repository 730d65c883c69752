//! Names of tables as they are typed: `flights`, `sales.orders`, `"a.b"."c d"`.

use std::{fmt, str::FromStr};

/// The schema of a name that has none.
const DEFAULT_SCHEMA: &str = "public";

/// A table's name. Case is kept; quotes protect dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRef {
    /// The schema, when one was given.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
}

impl TableRef {
    /// The parts of a Flight path.
    pub fn path(&self) -> Vec<&str> {
        self.schema.iter().map(String::as_str).chain([self.table.as_str()]).collect()
    }

    /// The schema, or the default one.
    pub fn schema_or_default(&self) -> &str {
        self.schema.as_deref().unwrap_or(DEFAULT_SCHEMA)
    }
}

impl FromStr for TableRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = split(text)?;
        if parts.len() == 3 && parts.first().is_some_and(|catalog| catalog == "skein") {
            parts.remove(0);
        }
        if parts.iter().any(String::is_empty) {
            return Err("a part of the name is empty; write NAME or SCHEMA.NAME".to_owned());
        }
        match <[String; 1]>::try_from(parts) {
            Ok([table]) => Ok(Self { schema: None, table }),
            Err(parts) => match <[String; 2]>::try_from(parts) {
                Ok([schema, table]) => Ok(Self { schema: Some(schema), table }),
                Err(_) => {
                    Err("too many dots; write NAME or SCHEMA.NAME, and \"quotes\" around a dot in a name".to_owned())
                }
            },
        }
    }
}

impl fmt::Display for TableRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema_or_default(), self.table)
    }
}

/// Splits at dots outside double quotes; `""` inside quotes is a quote.
fn split(text: &str) -> Result<Vec<String>, String> {
    let (mut parts, mut part, mut quoted) = (Vec::new(), String::new(), false);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' if quoted && rest.peek() == Some(&'"') => {
                rest.next();
                part.push('"');
            }
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(std::mem::take(&mut part)),
            c => part.push(c),
        }
    }
    if quoted {
        return Err("a quote is not closed".to_owned());
    }
    parts.push(part);
    Ok(parts)
}

/// A name quoted for SQL.
pub fn quote_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Text as a SQL literal.
pub fn quote_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_people_type_them() {
        assert_eq!("flights".parse::<TableRef>().unwrap().path(), ["flights"]);
        assert_eq!("sales.Orders".parse::<TableRef>().unwrap().path(), ["sales", "Orders"]);
        assert_eq!("skein.public.t".parse::<TableRef>().unwrap().path(), ["public", "t"]);
        assert_eq!("\"a.b\".\"say \"\"x\"\"\"".parse::<TableRef>().unwrap().path(), ["a.b", "say \"x\""]);
        for wrong in ["", "a.", "a.b.c", "\"a"] {
            assert!(wrong.parse::<TableRef>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn text_cannot_leave_its_quotes() {
        assert_eq!(quote_text("it's"), "'it''s'");
        assert_eq!(quote_name("a\"b"), "\"a\"\"b\"");
    }
}
