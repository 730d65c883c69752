//! Vectors as text, as pgvector has them: `[1, 2.5, -3e2]`.

use std::str::FromStr;

use crate::Error;

/// How much of a text an error shows.
const SHOWN: usize = 60;

/// The numbers of a vector in text.
pub(super) fn parse<T: FromStr>(text: &str, into: &mut Vec<T>) -> Result<(), Error> {
    into.clear();
    let inner = text.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let Some(inner) = inner else { return Err(refused(text, "it is not in brackets")) };
    if inner.trim().is_empty() {
        return Ok(());
    }
    for (index, item) in inner.split(',').enumerate() {
        let number = item
            .trim()
            .parse()
            .map_err(|_| refused(text, &format!("number {} of it, '{}', is none", index + 1, start(item.trim()))))?;
        into.push(number);
    }
    Ok(())
}

fn refused(text: &str, why: &str) -> Error {
    Error::Invalid(format!("'{}' is no vector: {why}; write one such as '[1, 2.5, -3]'", start(text)))
}

fn start(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Result<Vec<f32>, String> {
        let mut numbers = vec![9.0];
        parse(text, &mut numbers).map_err(|error| error.to_string())?;
        Ok(numbers)
    }

    #[test]
    fn numbers_in_brackets() {
        assert_eq!(numbers(" [1, 2.5,-3e2 ] ").unwrap(), [1.0, 2.5, -300.0]);
        assert_eq!(numbers("[]").unwrap(), [0.0; 0]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(numbers("1, 2").unwrap_err().contains("brackets"));
        assert!(numbers("[1, 2").unwrap_err().contains("brackets"));
        assert!(numbers("[1,,2]").unwrap_err().contains("number 2"));
        assert!(numbers("[1, zwei]").unwrap_err().contains("'zwei'"));
        let long = format!("[{}x]", "1,".repeat(10_000));
        assert!(numbers(&long).unwrap_err().len() < 250);
    }
}
