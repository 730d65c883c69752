//! Limits that a session sets for its own statements: `memory_limit` and `statement_timeout`.

use std::{fmt, time::Duration};

use crate::{Error, Result};

/// What a session asks for; the server's bounds hold all the same.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    pub(super) memory: Option<MemoryLimit>,
    pub(super) time: Option<TimeLimit>,
}

/// Most memory of one statement, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MemoryLimit(usize);

/// Most time of one statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeLimit(Duration);

/// What an option says when nothing is set.
const SERVERS: &str = "default";

const SIZES: [(&str, u64); 9] = [
    ("tib", 1 << 40),
    ("gib", 1 << 30),
    ("mib", 1 << 20),
    ("kib", 1 << 10),
    ("tb", 1_000_000_000_000),
    ("gb", 1_000_000_000),
    ("mb", 1_000_000),
    ("kb", 1000),
    ("b", 1),
];
const TIMES: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("min", 60_000), ("m", 60_000), ("h", 3_600_000)];

impl MemoryLimit {
    /// Reads `'512MiB'`, `'2GB'` or a number of bytes; `'default'` is the server's limit.
    pub(super) fn read(text: &str) -> Result<Option<Self>> {
        let wrong = || {
            Error::Invalid(format!("memory_limit is a size such as 512MiB, 2GB or a number of bytes; '{text}' is none"))
        };
        if text.trim().eq_ignore_ascii_case(SERVERS) {
            return Ok(None);
        }
        let bytes = number(text, &SIZES, Some(1)).ok_or_else(wrong)?;
        usize::try_from(bytes).map(|bytes| Some(Self(bytes))).map_err(|_| wrong())
    }

    pub(super) fn get(self) -> usize {
        self.0
    }
}

impl TimeLimit {
    /// Reads `'500ms'`, `'30s'`, `'5min'` or a number of milliseconds; `'default'` and `'0'` are the server's limit.
    pub(super) fn read(text: &str) -> Result<Option<Self>> {
        if text.trim() == "0" || text.trim().eq_ignore_ascii_case(SERVERS) {
            return Ok(None);
        }
        let millis = number(text, &TIMES, Some(1)).ok_or_else(|| {
            Error::Invalid(format!(
                "statement_timeout is a time such as 500ms, 30s, 5min or a number of milliseconds; '{text}' is none"
            ))
        })?;
        Ok(Some(Self(Duration::from_millis(millis))))
    }

    pub(super) fn get(self) -> Duration {
        self.0
    }
}

/// A positive whole number with one of `units`, or without any where that stands for something.
fn number(text: &str, units: &[(&str, u64)], bare: Option<u64>) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let factor = match unit.trim() {
        "" => bare?,
        unit => units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor).filter(|number| *number > 0)
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0.as_millis())
    }
}

/// An option's value as it is listed.
pub(super) fn show(limit: Option<impl fmt::Display>) -> String {
    limit.map_or_else(|| SERVERS.to_owned(), |limit| limit.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_with_their_units() {
        for (text, bytes) in [("1024", 1024), ("64 MiB", 64 << 20), ("2GB", 2_000_000_000), ("5kb", 5000)] {
            assert_eq!(MemoryLimit::read(text).unwrap().unwrap().get(), bytes);
        }
        for (text, millis) in [("250", 250), ("30s", 30_000), ("5 min", 300_000), ("1h", 3_600_000)] {
            assert_eq!(TimeLimit::read(text).unwrap().unwrap().get(), Duration::from_millis(millis));
        }
        assert_eq!((TimeLimit::read("0").unwrap(), MemoryLimit::read("Default").unwrap()), (None, None));
        assert_eq!(show(TimeLimit::read("2s").unwrap()), "2000ms");
        for wrong in ["", "lots", "-1", "1.5GB", "0", "99999999999TiB"] {
            assert!(MemoryLimit::read(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "soon", "-1s", "3 parsecs", "0s"] {
            assert!(TimeLimit::read(wrong).is_err(), "{wrong}");
        }
    }
}
