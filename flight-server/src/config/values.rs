//! Kinds of configuration values: how each is read from TOML or from text, and how it is shown.

use std::{borrow::Cow, fmt, net::SocketAddr, path::PathBuf, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use skein_model::{parse_duration, show_duration};
use toml_edit::Value;

mod memory;
mod size;

pub(super) use memory::machine_memory;

/// A value as a source gave it.
#[derive(Clone, Copy)]
pub enum Raw<'a> {
    /// From a TOML file, with its type.
    Toml(&'a Value),
    /// From an environment variable or a flag.
    Text(&'a str),
}

impl<'a> Raw<'a> {
    /// The value as text; numbers and booleans only when they come from a text source.
    fn text(self, expected: &str) -> Result<&'a str, String> {
        match self {
            Self::Text(text) => Ok(text.trim()),
            Self::Toml(Value::String(text)) => Ok(text.value().trim()),
            Self::Toml(_) => Err(self.mismatch(expected)),
        }
    }

    fn mismatch(self, expected: &str) -> String {
        let found = match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Toml(Value::String(text)) => format!("{:?}", text.value()),
            Self::Toml(value) => format!("the {} {}", value.type_name(), value.to_string().trim()),
        };
        format!("expected {expected}, found {found}")
    }

    fn is_word(self, word: &str) -> bool {
        self.text("").is_ok_and(|text| text.eq_ignore_ascii_case(word))
    }
}

/// A kind of value that a key can have.
pub trait Setting: Sized {
    /// The kind's name in the reference.
    const KIND: &'static str;
    /// Reads a value.
    ///
    /// # Errors
    /// What was expected and what was found.
    fn read(raw: Raw<'_>) -> Result<Self, String>;
    /// The value in TOML; `None` when it is not set.
    fn show(&self) -> Option<Value>;
}

/// Implements [`Setting`] for a type that is written as text.
macro_rules! text_setting {
    ($ty:ty, $kind:literal, $expected:literal, |$text:ident| $parse:expr, |$value:ident| $show:expr) => {
        impl Setting for $ty {
            const KIND: &'static str = $kind;

            fn read(raw: Raw<'_>) -> Result<Self, String> {
                let $text = raw.text($expected)?;
                $parse.ok_or_else(|| raw.mismatch($expected))
            }

            fn show(&self) -> Option<Value> {
                let $value = self;
                Some(Value::from($show))
            }
        }
    };
}

text_setting!(
    SocketAddr,
    "address",
    "an IP address and port such as \"127.0.0.1:8815\" or \"[::]:8815\"",
    |text| parse_address(text),
    |value| value.to_string()
);
text_setting!(PathBuf, "path", "a path", |text| (!text.is_empty()).then(|| expand_home(text)), |value| value
    .display()
    .to_string());
text_setting!(String, "text", "text", |text| (!text.is_empty()).then(|| text.to_owned()), |value| value.as_str());
text_setting!(
    Duration,
    "duration",
    "a duration with its unit, such as \"500ms\", \"30s\", \"5m\", \"24h\" or \"7d\"",
    |text| parse_duration(text),
    |value| show_duration(*value)
);
text_setting!(
    Secret,
    "secret",
    "text of at least 32 characters",
    |text| (text.chars().count() >= 32).then(|| Self(SecretString::from(text))),
    |_value| Secret::MASK
);

/// `localhost` is accepted for convenience: it is what people write.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let text = text.strip_prefix("localhost:").map_or(Cow::Borrowed(text), |port| format!("127.0.0.1:{port}").into());
    text.parse().ok()
}

fn expand_home(text: &str) -> PathBuf {
    match (text.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(text),
    }
}

impl Setting for bool {
    const KIND: &'static str = "true or false";

    fn read(raw: Raw<'_>) -> Result<Self, String> {
        match raw {
            Raw::Toml(Value::Boolean(value)) => Ok(*value.value()),
            Raw::Text(text) if matches!(text.trim(), "true" | "1" | "yes" | "on") => Ok(true),
            Raw::Text(text) if matches!(text.trim(), "false" | "0" | "no" | "off") => Ok(false),
            _ => Err(raw.mismatch("true or false")),
        }
    }

    fn show(&self) -> Option<Value> {
        Some(Value::from(*self))
    }
}

/// Reads a whole number of at least `least`.
fn read_number(raw: Raw<'_>, least: u64) -> Result<u64, String> {
    let number = match raw {
        Raw::Toml(Value::Integer(value)) => u64::try_from(*value.value()).ok(),
        Raw::Text(text) => text.trim().replace('_', "").parse().ok(),
        Raw::Toml(_) => None,
    };
    number.filter(|n| *n >= least).ok_or_else(|| raw.mismatch(&format!("a whole number of at least {least}")))
}

impl Setting for usize {
    const KIND: &'static str = "number";

    fn read(raw: Raw<'_>) -> Result<Self, String> {
        usize::try_from(read_number(raw, 1)?).map_err(|_| raw.mismatch("a smaller number"))
    }

    fn show(&self) -> Option<Value> {
        Some(Value::from(i64::try_from(*self).unwrap_or(i64::MAX)))
    }
}

impl Setting for u64 {
    const KIND: &'static str = "number";

    fn read(raw: Raw<'_>) -> Result<Self, String> {
        read_number(raw, 1)
    }

    fn show(&self) -> Option<Value> {
        Some(Value::from(i64::try_from(*self).unwrap_or(i64::MAX)))
    }
}

/// A value that can be switched off by the word `off`.
impl<T: Setting> Setting for Option<T> {
    const KIND: &'static str = T::KIND;

    fn read(raw: Raw<'_>) -> Result<Self, String> {
        if raw.is_word("off") { Ok(None) } else { T::read(raw).map(Some) }
    }

    fn show(&self) -> Option<Value> {
        self.as_ref().and_then(T::show)
    }
}

/// A value that Skein chooses unless it is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auto<T> {
    /// Chosen to fit the machine.
    Auto,
    /// Set by the user.
    Set(T),
}

impl<T: Setting> Setting for Auto<T> {
    const KIND: &'static str = T::KIND;

    fn read(raw: Raw<'_>) -> Result<Self, String> {
        if raw.is_word("auto") { Ok(Self::Auto) } else { T::read(raw).map(Self::Set) }
    }

    fn show(&self) -> Option<Value> {
        match self {
            Self::Auto => Some(Value::from("auto")),
            Self::Set(value) => value.show(),
        }
    }
}

/// Text that is never shown.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// What is shown in its place.
    pub const MASK: &'static str = "********";

    /// The secret itself.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::MASK)
    }
}

/// Declares an enum whose values are written as one of a few words.
macro_rules! words {
    ($(#[$doc:meta])* $Name:ident ($expected:literal) { $( $(#[$variant_doc:meta])* $Variant:ident = $word:literal, )* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $Name { $( $(#[$variant_doc])* $Variant, )* }

        text_setting!($Name, "word", $expected, |text| match text.to_ascii_lowercase().as_str() {
            $( $word => Some(Self::$Variant), )*
            _ => None,
        }, |value| match value { $( Self::$Variant => $word, )* });
    };
}

words! {
    /// When a login is needed.
    AuthMode ("\"auto\", \"required\" or \"none\"") {
        /// No login on loopback without users, login otherwise.
        Auto = "auto",
        /// Always.
        Required = "required",
        /// Never.
        None = "none",
    }
}

words! {
    /// What a server is there for.
    Role ("\"server\" or \"worker\"") {
        /// Clients.
        Server = "server",
        /// Clients, and tasks of other servers' statements.
        Worker = "worker",
    }
}

words! {
    /// Whether statements run on workers.
    Distributed ("\"auto\", \"always\" or \"never\"") {
        /// Where it pays.
        Auto = "auto",
        /// Wherever it can be.
        Always = "always",
        /// On this server alone.
        Never = "never",
    }
}

words! {
    /// How log lines look.
    LogFormat ("\"human\" or \"json\"") {
        /// For people.
        Human = "human",
        /// One JSON object a line.
        Json = "json",
    }
}

words! {
    /// Whether SQL may name paths on the server's own file system.
    LocalPaths ("\"auto\", \"allow\" or \"deny\"") {
        /// Only while the server listens on loopback.
        Auto = "auto",
        /// Yes.
        Allow = "allow",
        /// No.
        Deny = "deny",
    }
}

/// Compression of data files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// None.
    None,
    /// Snappy.
    Snappy,
    /// LZ4 blocks, as Parquet's LZ4_RAW.
    Lz4,
    /// Zstandard at a level from 1 to 22.
    Zstd(i32),
}

text_setting!(
    Compression,
    "compression",
    "\"zstd\", \"zstd(LEVEL)\" with a level from 1 to 22, \"lz4\", \"snappy\" or \"none\"",
    |text| parse_compression(text),
    |value| match value {
        Compression::None => "none".to_owned(),
        Compression::Snappy => "snappy".to_owned(),
        Compression::Lz4 => "lz4".to_owned(),
        Compression::Zstd(level) => format!("zstd({level})"),
    }
);

fn parse_compression(text: &str) -> Option<Compression> {
    match text.to_ascii_lowercase().as_str() {
        "none" | "uncompressed" => Some(Compression::None),
        "snappy" => Some(Compression::Snappy),
        "lz4" | "lz4_raw" => Some(Compression::Lz4),
        "zstd" => Some(Compression::Zstd(1)),
        other => {
            let level = other.strip_prefix("zstd(")?.strip_suffix(')')?.parse().ok()?;
            (1..=22).contains(&level).then_some(Compression::Zstd(level))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_has_a_level_where_it_makes_sense() {
        assert_eq!(parse_compression("ZSTD"), Some(Compression::Zstd(1)));
        assert_eq!(parse_compression("zstd(22)"), Some(Compression::Zstd(22)));
        assert_eq!(parse_compression("zstd(23)"), None);
        assert_eq!(parse_compression("lz4"), Some(Compression::Lz4));
    }

    #[test]
    fn off_and_auto_are_values() {
        assert_eq!(Option::<SocketAddr>::read(Raw::Text("off")), Ok(None));
        assert_eq!(Auto::<usize>::read(Raw::Text("auto")), Ok(Auto::Auto));
        assert_eq!(Auto::<usize>::read(Raw::Text("3")), Ok(Auto::Set(3)));
        assert!(usize::read(Raw::Text("0")).is_err());
        assert!(SocketAddr::read(Raw::Text("localhost:80")).is_ok());
    }
}
