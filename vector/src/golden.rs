//! Golden files: what was persisted once must be read for ever.

use std::{fmt::Debug, fs, path::PathBuf};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// Checks a persisted format against `golden/<name>.json`: the file is read as exactly `value`, `value` is written as exactly the
/// file, and fields that a later version may add are ignored. `SKEIN_BLESS=1` writes the file; do that for a new format
/// only, never to make a changed one pass.
pub(crate) fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(format!("{name}.json"));
    let written = serde_json::to_value(value).unwrap();
    if std::env::var_os("SKEIN_BLESS").is_some() {
        fs::write(&path, serde_json::to_string_pretty(&written).unwrap() + "\n").unwrap();
    }
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut filed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(&serde_json::from_value::<T>(filed.clone()).unwrap(), value, "reading {name}.json");
    assert_eq!(written, filed, "writing {name}.json");
    filed["a_field_of_the_future"] = json!({"x": [1]});
    assert_eq!(&serde_json::from_value::<T>(filed).unwrap(), value, "an unknown field in {name}.json");
}
