//! How a bucket is described in the configuration.

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;

/// One bucket: a name, where it is, and how to reach it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketConfig {
    /// The name datasets refer to: lower-case letters, digits, `-`, `_` and `.`, at most 63.
    pub name: String,
    /// `file:///absolute/path`, a plain path, `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`
    /// or `memory:`.
    pub url: String,
    /// Options of the store: `endpoint`, `region`, `path_style`, `access_key_id`, `secret_access_key`,
    /// `allow_http`, and every key that `object_store`'s builder of that store knows.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Never write to this bucket.
    #[serde(default)]
    pub read_only: bool,
}

/// Keys only: values may be secrets.
impl fmt::Debug for BucketConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BucketConfig")
            .field("name", &self.name)
            .field("url", &self.url)
            .field("options", &self.options.keys().collect::<Vec<_>>())
            .field("read_only", &self.read_only)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show_in_debug() {
        let json = r#"{"name":"lake","url":"s3://lake","options":{"secret_access_key":"hunter2"}}"#;
        let config: BucketConfig = serde_json::from_str(json).unwrap();
        let shown = format!("{config:?}");
        assert!(shown.contains("secret_access_key"));
        assert!(!shown.contains("hunter2"));
        assert!(!config.read_only);
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        assert!(serde_json::from_str::<BucketConfig>(r#"{"name":"a","url":"memory:","readonly":true}"#).is_err());
    }
}
