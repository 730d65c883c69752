//! Factory strings are text from outside for a parser in C++ that trusts it: lengths and numbers are checked here first.

use crate::{Error, Result};

/// FAISS matches with `std::regex`, whose recursion a long text takes out of the stack.
const LONGEST: usize = 128;
/// The largest number in a factory string: lists, for as many vectors as there can be.
const LARGEST: u64 = 1_048_576;
/// Bits of one code of a quantizer, at most: its table has 2 to this power of rows.
const MOST_BITS: u64 = 16;
/// Transformations of vectors are matrices of this many rows and columns at most: 256 MiB.
const WIDEST_MATRIX: usize = 8_192;

/// Refuses a factory string that could take the process's memory or stack.
pub(super) fn check(factory: &str, dimension: usize) -> Result<()> {
    let refuse = |why: String| Err(Error::Invalid(format!("the factory string '{factory}' {why}")));
    if factory.is_empty() || factory.len() > LONGEST {
        return Err(Error::Invalid(format!(
            "a factory string has from 1 to {LONGEST} characters; this one has {}",
            factory.len()
        )));
    }
    if let Some(odd) = factory.chars().find(|char| !char.is_ascii_alphanumeric() && !",_()+x.-".contains(*char)) {
        return refuse(format!("has {odd:?} in it, which no index has"));
    }
    for unsupported in ["IDMap", "NSG", "Residual", "IMI", "Index"] {
        if factory.contains(unsupported) {
            return refuse(format!(
                "has {unsupported} in it, which Skein does not build; see docs/search.md for what it does"
            ));
        }
    }
    if dimension > WIDEST_MATRIX && ["PCA", "OPQ", "RR", "ITQ"].iter().any(|name| factory.contains(name)) {
        return refuse(format!(
            "transforms vectors, which is for at most {WIDEST_MATRIX} dimensions; there are {dimension}"
        ));
    }
    for number in numbers(factory) {
        let most = match number.before {
            Some('x') if number.after != Some('x') => MOST_BITS,
            _ => LARGEST,
        };
        if number.value == 0 || number.value > most {
            return refuse(format!("has the number {} in it; it must be from 1 to {most} there", number.value));
        }
    }
    Ok(())
}

struct Number {
    value: u64,
    before: Option<char>,
    after: Option<char>,
}

/// The numbers in a string; one too large for an u64 counts as the largest.
fn numbers(text: &str) -> Vec<Number> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut before = None;
    while let Some(start) = rest.find(|char: char| char.is_ascii_digit()) {
        before = rest[..start].chars().next_back().or(before);
        let end = rest[start..].find(|char: char| !char.is_ascii_digit()).map_or(rest.len(), |length| start + length);
        let after = rest[end..].chars().next();
        let times = match after {
            Some('k') => 1_024,
            Some('M') => 1_048_576,
            _ => 1,
        };
        let value = rest[start..end].parse::<u64>().unwrap_or(u64::MAX).saturating_mul(times);
        found.push(Number { value, before, after });
        rest = &rest[end..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_strings_are_taken() {
        for factory in [
            "Flat",
            "HNSW32,SQ8",
            "IVF1024,PQ48x8np,RFlat",
            "OPQ16_64,IVF4k,PQ16x4fs",
            "IVF65536_HNSW32,SQ8",
            "RQ4x8_Nqint8",
        ] {
            check(factory, 768).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    #[test]
    fn strings_that_would_take_all_memory_are_not() {
        let why = |factory: &str, dimension| check(factory, dimension).unwrap_err().to_string();
        assert!(why("", 8).contains("from 1 to 128 characters"));
        assert!(why(&"(".repeat(1_000), 8).contains("this one has 1000"));
        assert!(why("IVF4096M,Flat", 8).contains("from 1 to 1048576"));
        assert!(why("IVF99999999999999999999999,Flat", 8).contains("from 1 to 1048576"));
        assert!(why("PQ8x30", 8).contains("from 1 to 16 there"));
        assert!(why("PQ0", 8).contains("has the number 0"));
        assert!(why("OPQ16,Flat", 60_000).contains("at most 8192 dimensions"));
        assert!(why("IDMap,Flat", 8).contains("does not build"));
        assert!(why("Flat;rm", 8).contains("';'"));
    }
}
