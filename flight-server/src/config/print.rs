//! The effective configuration as TOML that can be read back, with where each value came from.

use std::fmt::Write as _;

use skein_ai::ModelConfig;
use toml_edit::Value;

use super::{BucketConfig, Loaded, Secret, buckets::is_secret};

/// Column at which the comments start.
const COMMENT_COLUMN: usize = 44;

/// The effective configuration as TOML. Secrets are masked.
pub fn effective(loaded: &Loaded) -> String {
    let mut text = String::new();
    for section in loaded.config.sections() {
        let _ = writeln!(text, "[{}]", section.name());
        for key in section.keys() {
            let path = format!("{}.{}", section.name(), key.name);
            let origin = loaded.origin(&path).to_string();
            match section.get(key.name) {
                Some(value) => line(&mut text, key.name, &value, &origin),
                None if origin == "default" => comment_line(&mut text, &format!("# {} is not set", key.name), &origin),
                None => line(&mut text, key.name, &Value::from("off"), &origin),
            }
        }
        text.push('\n');
        if section.name() == "storage" {
            loaded.config.storage.buckets.iter().for_each(|bucket| bucket_table(&mut text, bucket, loaded));
        }
        if section.name() == "search" {
            loaded.config.models.iter().for_each(|(name, model)| model_table(&mut text, name, model, loaded));
        }
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn bucket_table(text: &mut String, bucket: &BucketConfig, loaded: &Loaded) {
    let path = format!("storage.buckets.{}", bucket.name);
    let origin = |key: &str| loaded.origin(&format!("{path}.{key}")).to_string();
    let _ = writeln!(text, "[{path}]");
    line(text, "url", &Value::from(bucket.url.as_str()), &origin("url"));
    line(text, "read_only", &Value::from(bucket.read_only), &origin("read_only"));
    for (name, value) in &bucket.options {
        let shown = if is_secret(name) { Secret::MASK } else { value };
        let key = format!("options.{name}");
        line(text, &key, &Value::from(shown), &origin(&key));
    }
    text.push('\n');
}

fn model_table(text: &mut String, name: &str, model: &ModelConfig, loaded: &Loaded) {
    let path = format!("models.{name}");
    let _ = writeln!(text, "[{path}]");
    let Ok(serde_json::Value::Object(keys)) = serde_json::to_value(model) else { return };
    for (key, value) in &keys {
        let value = match value {
            serde_json::Value::String(value) => Value::from(value.as_str()),
            serde_json::Value::Bool(value) => Value::from(*value),
            serde_json::Value::Number(value) => Value::from(value.as_i64().unwrap_or_default()),
            _ => continue,
        };
        line(text, key, &value, &loaded.origin(&format!("{path}.{key}")).to_string());
    }
    text.push('\n');
}

fn line(text: &mut String, key: &str, value: &Value, origin: &str) {
    comment_line(text, &format!("{key} = {value}"), origin);
}

fn comment_line(text: &mut String, left: &str, origin: &str) {
    let _ = writeln!(text, "{left:<COMMENT_COLUMN$}  # {origin}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};

    #[test]
    fn every_value_shows_where_it_came_from_and_secrets_do_not_show() {
        let text = "[server]\nhttp_listen = \"off\"\nticket_secret = \"0123456789abcdef0123456789abcdef\"\n[storage.buckets.lake]\nurl = \"s3://b\"\noptions.secret_access_key = \"hush\"\noptions.region = \"eu\"\n";
        let sources = Sources::default()
            .with_text("skein.toml", text)
            .with_variables([("SKEIN__INGEST__COMPRESSION".to_owned(), "ZSTD(3)".to_owned())]);
        let loaded = Config::load(&sources).unwrap();
        let shown = effective(&loaded);
        assert!(shown.contains("http_listen = \"off\""), "{shown}");
        assert!(shown.contains("compression = \"zstd(3)\"") && shown.contains("# SKEIN__INGEST__COMPRESSION"));
        assert!(shown.contains("options.region = \"eu\"") && shown.contains("# skein.toml:7"), "{shown}");
        assert!(!shown.contains("hush") && !shown.contains("0123456789"), "{shown}");
        let again = shown.replace(Secret::MASK, "0123456789abcdef0123456789abcdef");
        let again = Config::load(&Sources::default().with_text("again.toml", &again)).unwrap();
        assert_eq!(again.config.storage.buckets[0].options["region"], "eu");
        assert_eq!(again.config.server.http_listen, None);
    }
}
