//! The `[storage.buckets.NAME]` tables.

use std::{collections::BTreeMap, path::Path};

use super::{BucketConfig, ConfigError, Origin, Setting, load::unknown_message, values::Raw};

/// Name of the bucket that exists when none is configured.
const LOCAL: &str = "local";
/// The keys of a bucket.
const KEYS: [&str; 3] = ["url", "read_only", "options"];
/// What a URL may start with.
const SCHEMES: [&str; 7] = ["file", "s3", "gs", "az", "abfs", "abfss", "memory"];

/// The one bucket of a server without bucket configuration.
pub(super) fn local(folder: &Path) -> BucketConfig {
    bucket(LOCAL, file_url(folder))
}

fn bucket(name: &str, url: String) -> BucketConfig {
    BucketConfig { name: name.to_owned(), url, options: BTreeMap::new(), read_only: false }
}

/// A `file:` URL for a folder, which need not exist.
fn file_url(folder: &Path) -> String {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    url::Url::from_directory_path(&absolute).map_or_else(|()| format!("file://{}", absolute.display()), String::from)
}

/// Buckets as the sources mention them, in order.
#[derive(Default)]
pub(super) struct BucketSet(Vec<(BucketConfig, Origin)>);

impl BucketSet {
    /// Notes that a bucket exists; returns its place.
    pub fn mention(&mut self, name: &str, origin: &Origin) -> usize {
        if let Some(at) = self.0.iter().position(|(bucket, _)| bucket.name == name) {
            return at;
        }
        self.0.push((bucket(name, String::new()), origin.clone()));
        self.0.len() - 1
    }

    /// Sets `storage.buckets.NAME.` + `rest`.
    pub fn set(&mut self, name: &str, rest: &[&str], raw: Raw<'_>, origin: &Origin) -> Result<(), String> {
        let at = self.mention(name, origin);
        let Some((bucket, _)) = self.0.get_mut(at) else { return Ok(()) };
        match rest {
            ["url"] => bucket.url = read_url(raw)?,
            ["read_only"] => bucket.read_only = bool::read(raw)?,
            ["options", option] => {
                bucket.options.insert((*option).to_owned(), read_option(raw)?);
            }
            ["options", ..] => return Err("expected text, a number or a boolean, found a table".to_owned()),
            [other, ..] => return Err(unknown_message("key", other, KEYS.into_iter())),
            [] => {}
        }
        Ok(())
    }

    /// The buckets, and what is wrong with them.
    pub fn finish(self) -> (Vec<BucketConfig>, Vec<ConfigError>) {
        let mut errors = Vec::new();
        let mut error = |key: String, origin: &Origin, message: String| {
            errors.push(ConfigError { key, origin: origin.clone(), message });
        };
        for (bucket, origin) in &self.0 {
            let key = format!("storage.buckets.{}", bucket.name);
            let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
            if bucket.name.is_empty() || bucket.name.len() > 63 || !bucket.name.chars().all(allowed) {
                let rule = "a bucket's name is at most 63 lower-case letters, digits, '-', '_' and '.'";
                error(key.clone(), origin, rule.to_owned());
            }
            if bucket.url.is_empty() {
                let example = "set it to a URL such as \"s3://my-bucket/skein\" or \"file:///srv/skein\"";
                error(format!("{key}.url"), origin, format!("the bucket needs a URL; {example}"));
            }
        }
        (self.0.into_iter().map(|(bucket, _)| bucket).collect(), errors)
    }
}

/// Whether an option's value must not be shown.
pub(super) fn is_secret(option: &str) -> bool {
    let option = option.to_ascii_lowercase();
    let words = ["secret", "password", "token", "sas", "credential", "private", "account_key", "service_account_key"];
    words.iter().any(|word| option.contains(word)) || option.ends_with("access_key") || option == "key"
}

fn read_url(raw: Raw<'_>) -> Result<String, String> {
    let text = String::read(raw)?;
    let Some((scheme, _)) = text.split_once(':') else { return Ok(file_url(Path::new(&text))) };
    if SCHEMES.contains(&scheme) {
        return Ok(text);
    }
    Err(format!("{text:?} starts with an unknown scheme; use one of: {}", SCHEMES.join(":, ") + ":"))
}

fn read_option(raw: Raw<'_>) -> Result<String, String> {
    match raw {
        Raw::Toml(toml_edit::Value::Boolean(value)) => Ok(value.value().to_string()),
        Raw::Toml(toml_edit::Value::Integer(value)) => Ok(value.value().to_string()),
        _ => String::read(raw),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};

    const LAKE: &str = "[storage.buckets.lake]\nurl = \"s3://lake/x\"\n[storage.buckets.lake.options]\nendpoint = \"http://localhost:9000\"\npath_style = true\n[storage.buckets.cold]\nurl = \"./cold\"\nread_only = true\n";

    #[test]
    fn buckets_keep_their_order_and_variables_reach_into_them() {
        let sources = Sources::default().with_text("skein.toml", LAKE).with_variables([(
            "SKEIN__STORAGE__BUCKETS__LAKE__OPTIONS__SECRET_ACCESS_KEY".to_owned(),
            "hush".to_owned(),
        )]);
        let buckets = Config::load(&sources).unwrap().config.storage.effective_buckets();
        assert_eq!(buckets.len(), 2);
        assert_eq!((buckets[0].name.as_str(), buckets[0].url.as_str()), ("lake", "s3://lake/x"));
        assert_eq!(buckets[0].options["path_style"], "true");
        assert_eq!(buckets[0].options["secret_access_key"], "hush");
        assert!(buckets[1].read_only && buckets[1].url.starts_with("file:///"), "{buckets:?}");
    }

    #[test]
    fn without_buckets_there_is_a_local_one() {
        let buckets = Config::default().storage.effective_buckets();
        assert_eq!(buckets.len(), 1);
        assert!(buckets[0].url.starts_with("file:///") && buckets[0].url.contains("skein-data"), "{buckets:?}");
    }

    #[test]
    fn bucket_mistakes_are_named() {
        let text = "[storage.buckets.a]\nurll = \"s3://x\"\n[storage.buckets.b]\nurl = \"ftp://x\"\n[storage.buckets.\"c d\"]\nurl = \"memory:\"\n";
        let errors = Config::load(&Sources::default().with_text("s.toml", text)).unwrap_err();
        let text = errors.to_string();
        assert!(
            text.contains("s.toml:2: storage.buckets.a.urll: there is no such key; did you mean \"url\"?"),
            "{text}"
        );
        assert!(text.contains("s.toml:1: storage.buckets.a.url: the bucket needs a URL"), "{text}");
        assert!(text.contains("s.toml:4: storage.buckets.b.url: \"ftp://x\" starts with an unknown scheme"), "{text}");
        assert!(text.contains("s.toml:5: storage.buckets.c d: a bucket's name"), "{text}");
    }

    #[test]
    fn secrets_are_known_by_their_names() {
        for secret in ["secret_access_key", "aws_secret_access_key", "session_token", "account_key", "sas_token"] {
            assert!(is_secret(secret), "{secret}");
        }
        for open in ["access_key_id", "endpoint", "region", "path_style"] {
            assert!(!is_secret(open), "{open}");
        }
    }
}
