//! From a bucket's configuration to its store.

use std::{path::PathBuf, sync::Arc, time::Duration};

use object_store::{
    BackoffConfig, ObjectStore, RetryConfig, aws::AmazonS3Builder, azure::MicrosoftAzureBuilder,
    gcp::GoogleCloudStorageBuilder, memory::InMemory, path::Path, prefix::PrefixStore,
};
use url::Url;

use crate::{BucketConfig, Error, Result, local::LocalStore, retry::RetryPolicy, sweep};

/// Longest accepted bucket name, in bytes.
const MAX_NAME: usize = 63;

/// The store a configuration describes, rooted at the URL's path, and how patiently to treat it.
pub(crate) fn build(config: &BucketConfig) -> Result<(Arc<dyn ObjectStore>, RetryPolicy)> {
    check_name(&config.name)?;
    let place = Place::parse(config)?;
    if matches!(place, Place::Memory | Place::Local(_))
        && let Some(key) = config.options.keys().next()
    {
        return Err(refused(config, format!("a bucket at '{}' takes no option '{key}'; remove it", config.url)));
    }
    match place {
        Place::Memory => Ok((Arc::new(InMemory::new()), RetryPolicy::local())),
        Place::Local(path) => {
            let store = LocalStore::open(&path).map_err(|e| refused(config, e.to_string()))?;
            if !config.read_only {
                sweep::in_background(&path);
            }
            Ok((Arc::new(store), RetryPolicy::local()))
        }
        Place::Cloud(cloud, url) => Ok((rooted(config, cloud, &url)?, RetryPolicy::cloud())),
    }
}

/// A name goes into `skein-bucket://<name>/`, so it must be a plain host name.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if starts_well && name.len() <= MAX_NAME && name.chars().all(plain) {
        return Ok(());
    }
    let reason = format!(
        "a bucket's name has 1 to {MAX_NAME} lower-case letters, digits, '-', '_' and '.', and starts with a letter or digit"
    );
    Err(Error::Config { bucket: name.to_owned(), reason })
}

#[derive(Clone, Copy)]
enum Cloud {
    S3,
    Google,
    Azure,
}

enum Place {
    Memory,
    Local(PathBuf),
    Cloud(Cloud, Url),
}

impl Place {
    fn parse(config: &BucketConfig) -> Result<Self> {
        let url = config.url.as_str();
        if let Some(path) = url.strip_prefix("file:").filter(|rest| !rest.starts_with("//")) {
            return Ok(Self::Local(path.into()));
        }
        match url.split_once(':') {
            Some((scheme, _)) if scheme.len() > 1 && scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {}
            _ if url.is_empty() => return Err(refused(config, "its URL is empty".to_owned())),
            _ => return Ok(Self::Local(url.into())),
        }
        let parsed = Url::parse(url).map_err(|e| refused(config, format!("'{url}' is not a URL: {e}")))?;
        match parsed.scheme() {
            "memory" => Ok(Self::Memory),
            "file" => parsed
                .to_file_path()
                .map(Self::Local)
                .map_err(|()| refused(config, format!("'{url}' is not a local path; write file:///absolute/path"))),
            "s3" | "s3a" => Ok(Self::Cloud(Cloud::S3, parsed)),
            "gs" => Ok(Self::Cloud(Cloud::Google, parsed)),
            "az" | "azure" | "adl" | "abfs" | "abfss" => Ok(Self::Cloud(Cloud::Azure, parsed)),
            scheme => {
                let reason = format!("scheme '{scheme}' is not supported; use file, s3, gs, az or memory");
                Err(refused(config, reason))
            }
        }
    }
}

fn rooted(config: &BucketConfig, cloud: Cloud, url: &Url) -> Result<Arc<dyn ObjectStore>> {
    if url.host_str().is_none_or(str::is_empty) {
        let reason = format!("'{url}' names no bucket; write {}://bucket or {0}://bucket/prefix", url.scheme());
        return Err(refused(config, reason));
    }
    let root = Path::from_url_path(url.path()).map_err(|e| refused(config, e.to_string()))?;
    let store: Arc<dyn ObjectStore> = match cloud {
        Cloud::S3 => s3(config, url)?,
        Cloud::Google => google(config, url)?,
        Cloud::Azure => azure(config, url)?,
    };
    Ok(if root.as_ref().is_empty() { store } else { Arc::new(PrefixStore::new(store, root)) })
}

/// Applies the options to a builder of `object_store`; all three have the same shape but share no trait.
macro_rules! configured {
    ($config:expr, $url:expr, $builder:expr, $options:expr) => {{
        let mut builder = $builder.with_url($url.to_string()).with_retry(retries());
        for (key, value) in $options {
            let known = key.to_ascii_lowercase().parse().map_err(|_| unknown_option($config, &key))?;
            builder = builder.with_config(known, value);
        }
        Arc::new(builder.build().map_err(|e| refused($config, e.to_string()))?)
    }};
}

fn s3(config: &BucketConfig, url: &Url) -> Result<Arc<dyn ObjectStore>> {
    let allow_http = config.options.get("allow_http").is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let plain = config.options.get("endpoint").is_some_and(|e| e.starts_with("http://"));
    if plain && !allow_http {
        let reason = "its endpoint is http, which sends data in the clear; use https, or set allow_http = \"true\"";
        return Err(refused(config, reason.to_owned()));
    }
    let mut options = Vec::new();
    for (key, value) in &config.options {
        if key == "path_style" {
            let path_style = value
                .parse::<bool>()
                .map_err(|_| refused(config, format!("option path_style is '{value}'; write \"true\" or \"false\"")))?;
            options.push(("virtual_hosted_style_request".to_owned(), (!path_style).to_string()));
        } else {
            options.push((key.clone(), value.clone()));
        }
    }
    Ok(configured!(config, url, AmazonS3Builder::from_env(), options))
}

fn google(config: &BucketConfig, url: &Url) -> Result<Arc<dyn ObjectStore>> {
    Ok(configured!(config, url, GoogleCloudStorageBuilder::from_env(), config.options.clone()))
}

fn azure(config: &BucketConfig, url: &Url) -> Result<Arc<dyn ObjectStore>> {
    Ok(configured!(config, url, MicrosoftAzureBuilder::from_env(), config.options.clone()))
}

/// Gives up within about half a minute: a caller waits for the answer.
fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: 6,
        retry_timeout: Duration::from_secs(30),
    }
}

fn unknown_option(config: &BucketConfig, key: &str) -> Error {
    refused(config, format!("option '{key}' is not known for '{}'; check its spelling", config.url))
}

fn refused(config: &BucketConfig, reason: String) -> Error {
    Error::Config { bucket: config.name.clone(), reason }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rstest::rstest;

    use super::*;

    fn config(url: &str, options: &[(&str, &str)]) -> BucketConfig {
        let options: BTreeMap<_, _> = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        BucketConfig { name: "lake".into(), url: url.into(), options, read_only: false }
    }

    #[test]
    fn s3_compatible_stores_are_configured_by_options() {
        let options = [
            ("endpoint", "http://127.0.0.1:9000"),
            ("allow_http", "true"),
            ("path_style", "true"),
            ("region", "us-east-1"),
            ("access_key_id", "id"),
            ("secret_access_key", "secret"),
        ];
        assert!(build(&config("s3://lake/some/prefix", &options)).is_ok());
        assert!(build(&config("az://container", &[("account_name", "a"), ("access_key", "a2V5")])).is_ok());
    }

    #[rstest]
    #[case("ftp://x", &[], "scheme 'ftp'")]
    #[case("", &[], "empty")]
    #[case("s3://", &[], "names no bucket")]
    #[case("s3://b", &[("endpiont", "x")], "option 'endpiont'")]
    #[case("s3://b", &[("endpoint", "http://x")], "allow_http")]
    #[case("s3://b", &[("path_style", "yes")], "path_style")]
    #[case("memory:", &[("region", "x")], "takes no option 'region'")]
    fn a_wrong_configuration_says_what_is_wrong(
        #[case] url: &str,
        #[case] options: &[(&str, &str)],
        #[case] expected: &str,
    ) {
        let error = build(&config(url, options)).err().unwrap().to_string();
        assert!(error.contains(expected) && error.contains("'lake'"), "{error}");
    }

    #[test]
    fn names_are_plain() {
        assert!(check_name("lake-1.eu_west").is_ok());
        for name in ["", "Lake", "a/b", "..", "a b", "-a", &"x".repeat(64)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn local_paths_come_in_four_spellings() {
        for url in ["/tmp/x", "rel/x", "file:rel/x", "file:///tmp/x"] {
            assert!(matches!(Place::parse(&config(url, &[])), Ok(Place::Local(_))), "{url}");
        }
    }
}
