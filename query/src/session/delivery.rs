//! How a client wants its rows sent: options of a session that a single call can set for itself.

use std::collections::BTreeMap;

use crate::{Error, Result};

/// Most parts that a client may ask for.
const MAX_PARTITIONS: usize = 64;
/// Most rows of a message.
const MAX_ROWS: usize = 1 << 24;
/// Smallest and largest message, in bytes: below, headers cost more than rows; above, no client reads faster.
const MESSAGE_BYTES: std::ops::RangeInclusive<usize> = (16 << 10)..=(1 << 30);
const AUTO: &str = "auto";

/// How rows are sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delivery {
    /// `encoding = fast`: the engine's own types, view types among them, instead of those that every client can read.
    pub fast: bool,
    /// `compression`: of the bodies of Arrow messages.
    pub compression: Compression,
    /// `message_rows`: most rows of a message; `None` for what suits the client.
    pub message_rows: Option<usize>,
    /// `message_bytes`: most bytes of a message's body, as it is sent, of more than one row; `None` for what suits the client.
    pub message_bytes: Option<usize>,
    /// `partitions`: how many endpoints a result that can be divided is given; `None` for what suits the client and the result.
    pub partitions: Option<usize>,
}

/// How the bodies of Arrow messages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// LZ4 frames: fast.
    Lz4,
    /// Zstandard: small.
    Zstd,
}

impl Compression {
    const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl Delivery {
    /// The names of its options.
    pub const KEYS: [&'static str; 5] = ["encoding", "compression", "message_rows", "message_bytes", "partitions"];

    /// Sets an option by its name, which is one of [`Delivery::KEYS`].
    ///
    /// # Errors
    /// `InvalidInput` for another name, and for a value that the option does not take.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let value = value.trim();
        match key {
            "encoding" => self.fast = encoding(value)?,
            "compression" => self.compression = compression(value)?,
            "message_rows" => self.message_rows = number(key, value, 1..=MAX_ROWS)?,
            "message_bytes" => self.message_bytes = number(key, value, MESSAGE_BYTES)?,
            "partitions" => self.partitions = number(key, value, 1..=MAX_PARTITIONS)?,
            _ => {
                let known = Self::KEYS.join(", ");
                return Err(Error::Invalid(format!(
                    "option '{key}' is not about how rows are sent; there are {known}"
                )));
            }
        }
        Ok(())
    }

    /// Sets an option back; false when it is none of these.
    pub(super) fn reset(&mut self, key: &str) -> bool {
        let fresh = Self::default();
        match key {
            "encoding" => self.fast = fresh.fast,
            "compression" => self.compression = fresh.compression,
            "message_rows" => self.message_rows = fresh.message_rows,
            "message_bytes" => self.message_bytes = fresh.message_bytes,
            "partitions" => self.partitions = fresh.partitions,
            _ => return false,
        }
        true
    }

    /// The options and their values.
    pub(super) fn list(&self) -> BTreeMap<String, String> {
        let number = |number: Option<usize>| number.map_or_else(|| AUTO.to_owned(), |number| number.to_string());
        [
            ("encoding", if self.fast { "fast" } else { "default" }.to_owned()),
            ("compression", self.compression.as_str().to_owned()),
            ("message_rows", number(self.message_rows)),
            ("message_bytes", number(self.message_bytes)),
            ("partitions", number(self.partitions)),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }
}

fn encoding(value: &str) -> Result<bool> {
    match value {
        "default" => Ok(false),
        "fast" => Ok(true),
        _ => Err(Error::Invalid(format!("encoding '{value}' is unknown; use default or fast"))),
    }
}

fn compression(value: &str) -> Result<Compression> {
    [Compression::None, Compression::Lz4, Compression::Zstd]
        .into_iter()
        .find(|compression| compression.as_str() == value)
        .ok_or_else(|| Error::Invalid(format!("compression '{value}' is unknown; use none, lz4 or zstd")))
}

fn number(key: &str, value: &str, range: std::ops::RangeInclusive<usize>) -> Result<Option<usize>> {
    if value == AUTO {
        return Ok(None);
    }
    match value.parse() {
        Ok(number) if range.contains(&number) => Ok(Some(number)),
        _ => Err(Error::Invalid(format!(
            "'{value}' is no value for {key}; give {AUTO}, or a number from {} to {}",
            range.start(),
            range.end()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_and_shown_as_they_are_given() {
        let mut delivery = Delivery::default();
        for (key, value) in [
            ("encoding", "fast"),
            ("compression", "zstd"),
            ("message_rows", "1000"),
            ("message_bytes", "1048576"),
            ("partitions", "4"),
        ] {
            delivery.set(key, value).unwrap();
            assert_eq!(delivery.list()[key], value);
            assert!(delivery.set(key, "nonsense").is_err() && delivery.set(key, "-1").is_err(), "{key}");
            assert_eq!(delivery.list()[key], value);
            assert!(delivery.reset(key));
        }
        assert_eq!(delivery, Delivery::default());
        assert_eq!(delivery.list()["partitions"], "auto");
        assert_eq!(delivery.list().len(), Delivery::KEYS.len());
        assert!(delivery.set("partitions", "65").is_err() && delivery.set("message_bytes", "1").is_err());
        assert!(delivery.set("schema", "x").is_err() && !delivery.reset("schema"));
    }
}
