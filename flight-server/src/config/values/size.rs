//! Sizes in bytes.

use skein_model::ByteSize;
use toml_edit::Value;

use super::{Raw, Setting};

impl Setting for ByteSize {
    const KIND: &'static str = "size";

    fn read(raw: Raw<'_>) -> Result<Self, String> {
        let expected = "a size such as \"512MiB\", \"4GB\" or a number of bytes";
        let size = match raw {
            Raw::Toml(Value::Integer(bytes)) => u64::try_from(*bytes.value()).ok().map(Self),
            _ => raw.text(expected)?.parse().ok(),
        };
        size.filter(|size| size.0 > 0).ok_or_else(|| raw.mismatch(expected))
    }

    fn show(&self) -> Option<Value> {
        Some(Value::from(self.to_string()))
    }
}
