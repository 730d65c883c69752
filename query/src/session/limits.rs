//! Limits that a session sets for its own statements: `memory_limit` and `statement_timeout`.

use std::time::Duration;

use skein_model::{ByteSize, parse_duration, show_duration};

use crate::{Error, Result};

/// What a session asks for; the server's bounds hold all the same.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limits {
    /// Most memory of one statement.
    pub(super) memory: Option<ByteSize>,
    /// Most time of one statement.
    pub(super) time: Option<Duration>,
}

/// What an option says when nothing is set.
const SERVERS: &str = "default";

/// Reads `'512MiB'`, `'2GB'` or a number of bytes; `'default'` is the server's limit.
pub(super) fn read_memory(text: &str) -> Result<Option<ByteSize>> {
    let text = text.trim();
    if text.eq_ignore_ascii_case(SERVERS) {
        return Ok(None);
    }
    let size = text.parse().ok().filter(|size: &ByteSize| size.0 > 0).ok_or_else(|| {
        Error::Invalid(format!("memory_limit is a size such as 512MiB, 2GB or a number of bytes; '{text}' is none"))
    })?;
    Ok(Some(size))
}

/// Reads `'500ms'`, `'30s'`, `'5min'` or a number of milliseconds; `'default'` and `'0'` are the server's limit.
pub(super) fn read_time(text: &str) -> Result<Option<Duration>> {
    let text = text.trim();
    if text == "0" || text.eq_ignore_ascii_case(SERVERS) {
        return Ok(None);
    }
    let millis = text.parse().ok().map(Duration::from_millis);
    let time = millis.or_else(|| parse_duration(&text.to_lowercase())).filter(|time| !time.is_zero());
    Ok(Some(time.ok_or_else(|| {
        Error::Invalid(format!(
            "statement_timeout is a time such as 500ms, 30s, 5min or a number of milliseconds; '{text}' is none"
        ))
    })?))
}

/// `memory_limit` as it is listed.
pub(super) fn show_memory(limit: Option<ByteSize>) -> String {
    limit.map_or_else(|| SERVERS.to_owned(), |size| size.to_string())
}

/// `statement_timeout` as it is listed.
pub(super) fn show_time(limit: Option<Duration>) -> String {
    limit.map_or_else(|| SERVERS.to_owned(), show_duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_with_their_units() {
        for (text, bytes) in [("1024", 1024), ("64 MiB", 64 << 20), ("2GB", 2_000_000_000), ("5kb", 5000)] {
            assert_eq!(read_memory(text).unwrap(), Some(ByteSize(bytes)));
        }
        for (text, millis) in [("250", 250), ("30s", 30_000), ("5 min", 300_000), ("1h", 3_600_000)] {
            assert_eq!(read_time(text).unwrap(), Some(Duration::from_millis(millis)));
        }
        assert_eq!((read_time("0").unwrap(), read_memory("Default").unwrap()), (None, None));
        assert_eq!(show_time(read_time("2S").unwrap()), "2s");
        assert_eq!(
            (show_memory(Some(ByteSize(4 << 20))), show_memory(None)),
            ("4MiB".to_owned(), "default".to_owned())
        );
        for wrong in ["", "lots", "-1", "0", "99999999999TiB"] {
            assert!(read_memory(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "soon", "-1s", "3 parsecs", "0s"] {
            assert!(read_time(wrong).is_err(), "{wrong}");
        }
    }
}
