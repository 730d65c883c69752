//! Merging the sources into one configuration, collecting every error on the way.

use std::{collections::BTreeMap, fmt};

use toml_edit::{Document, Item, TableLike};

use super::{
    Config, ConfigError, ConfigErrors, Sources,
    buckets::BucketSet,
    check,
    models::ModelSet,
    sources::{File, key_of},
    values::Raw,
};

/// A configuration and where each of its values came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    origins: BTreeMap<String, Origin>,
}

impl Loaded {
    /// Where the value of a key (`section.key`) came from.
    pub fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of a file; line 0 is the file as a whole.
    File {
        /// The file's name.
        name: String,
        /// The line, counted from 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// A command-line flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { name, line: 0 } => f.write_str(name),
            Self::File { name, line } => write!(f, "{name}:{line}"),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

pub(super) fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let mut loader = Loader::default();
    if let Some(file) = &sources.file {
        loader.file(file);
    }
    for (name, value) in &sources.variables {
        loader.set(&key_of(name), Raw::Text(value), Origin::Variable(name.clone()));
    }
    for flag in &sources.flags {
        let path: Vec<String> = flag.key.split('.').map(str::to_owned).collect();
        loader.set(&path, Raw::Text(&flag.value), Origin::Flag(flag.name.clone()));
    }
    loader.finish()
}

#[derive(Default)]
struct Loader {
    config: Config,
    buckets: BucketSet,
    models: ModelSet,
    origins: BTreeMap<String, Origin>,
    errors: Vec<ConfigError>,
}

impl Loader {
    fn error(&mut self, key: &str, origin: Origin, message: impl Into<String>) {
        self.errors.push(ConfigError { key: key.to_owned(), origin, message: message.into() });
    }

    fn file(&mut self, file: &File) {
        let whole = Origin::File { name: file.name.clone(), line: 0 };
        let text = match &file.text {
            Ok(text) => text,
            Err(why) => return self.error("", whole, format!("the file cannot be read: {why}")),
        };
        let document = match Document::parse(text.as_str()) {
            Ok(document) => document,
            Err(error) => {
                let line = error.span().map_or(0, |span| line_of(text, span.start));
                let origin = Origin::File { name: file.name.clone(), line };
                return self.error("", origin, format!("not valid TOML: {}", error.message().replace('\n', "; ")));
            }
        };
        let walk = Walk { name: &file.name, text };
        self.table(document.as_table(), &mut Vec::new(), &walk);
    }

    /// Sets every value below `table`; `path` is where it is.
    fn table(&mut self, table: &dyn TableLike, path: &mut Vec<String>, walk: &Walk<'_>) {
        for (name, item) in table.iter() {
            path.push(name.to_owned());
            let origin = walk.origin(table, name, item);
            match (item, item.as_table_like()) {
                (Item::Value(value), None) => self.set(path, Raw::Toml(value), origin),
                (_, Some(inner)) if self.is_table(path) => {
                    if let ["storage", "buckets", bucket] = strs(path).as_slice() {
                        self.buckets.mention(bucket, &origin);
                    }
                    if let ["models", model] = strs(path).as_slice() {
                        self.models.mention(model, &origin);
                    }
                    self.table(inner, path, walk);
                }
                _ => {
                    let message = self.unknown(path).unwrap_or_else(|| "expected a value, found a table".to_owned());
                    self.error(&path.join("."), origin, message);
                }
            }
            path.pop();
        }
    }

    fn is_table(&self, path: &[String]) -> bool {
        match strs(path).as_slice() {
            ["models"] => true,
            [section] => self.config.sections().iter().any(|known| known.name() == *section),
            ["models", _] => true,
            ["storage", "buckets"] | ["storage", "buckets", _] | ["storage", "buckets", _, "options"] => true,
            _ => false,
        }
    }

    /// Sets the key at `path`.
    fn set(&mut self, path: &[String], raw: Raw<'_>, origin: Origin) {
        let key = path.join(".");
        let result = match strs(path).as_slice() {
            ["storage", "buckets", bucket, rest @ ..] if !rest.is_empty() => {
                self.buckets.set(bucket, rest, raw, &origin)
            }
            ["models", model, key] => self.models.set(model, key, raw, &origin),
            ["models", ..] => Err("expected a table, found a value".to_owned()),
            [section, name] => match self.unknown(path) {
                Some(message) => Err(message),
                None => self.config.section_mut(section).map_or(Ok(()), |section| section.set(name, raw)),
            },
            _ => Err(self.unknown(path).unwrap_or_else(|| "expected a table, found a value".to_owned())),
        };
        match result {
            Ok(()) => {
                self.origins.insert(key, origin);
            }
            Err(message) => self.error(&key, origin, message),
        }
    }

    /// What to say about a path that names no key; `None` when it names one (or a table).
    fn unknown(&self, path: &[String]) -> Option<String> {
        let sections = self.config.sections();
        let (section, rest) = path.split_first()?;
        let Some(known) = sections.iter().find(|known| known.name() == *section) else {
            let names = sections.iter().map(|section| section.name()).chain(["models"]);
            return Some(unknown_message("section", section, names));
        };
        let name = rest.first()?;
        let keys = known.keys();
        if (known.name() == "storage" && name == "buckets")
            || keys.iter().any(|key| key.name == name && rest.len() == 1)
        {
            return None;
        }
        let elsewhere = sections.iter().find(|other| other.keys().iter().any(|key| key.name == name));
        if let Some(other) = elsewhere.filter(|other| other.name() != known.name()) {
            return Some(format!("there is no such key; did you mean {}.{name}?", other.name()));
        }
        Some(unknown_message("key", name, keys.iter().map(|key| key.name)))
    }

    fn finish(mut self) -> Result<Loaded, ConfigErrors> {
        let (buckets, errors) = self.buckets.finish();
        self.config.storage.buckets = buckets;
        self.errors.extend(errors);
        let (models, errors) = self.models.finish();
        self.config.models = models;
        self.errors.extend(errors);
        let loaded = Loaded { config: self.config, origins: self.origins };
        // Rules between keys would only repeat what is wrong with a key by itself.
        let broken: Vec<String> = self.errors.iter().map(|error| error.key.clone()).collect();
        self.errors.extend(check::check(&loaded).into_iter().filter(|error| !broken.contains(&error.key)));
        if self.errors.is_empty() { Ok(loaded) } else { Err(ConfigErrors(self.errors)) }
    }
}

/// The file being walked.
struct Walk<'a> {
    name: &'a str,
    text: &'a str,
}

impl Walk<'_> {
    fn origin(&self, table: &dyn TableLike, name: &str, item: &Item) -> Origin {
        let span = table.key(name).and_then(toml_edit::Key::span).or_else(|| item.span());
        let line = span.map_or(0, |span| line_of(self.text, span.start));
        Origin::File { name: self.name.to_owned(), line }
    }
}

fn strs(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// `there is no such key; did you mean "listen"?`
pub(super) fn unknown_message<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    match super::suggest::closest(name, known.iter().copied()) {
        Some(close) => format!("there is no such {what}; did you mean {close:?}?"),
        None => format!("there is no such {what}; there are: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(text: &str) -> Result<Loaded, ConfigErrors> {
        Config::load(&Sources::default().with_text("skein.toml", text))
    }

    fn messages(result: Result<Loaded, ConfigErrors>) -> Vec<String> {
        result.unwrap_err().0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nothing_configured_is_a_loopback_server() {
        let loaded = Config::load(&Sources::default()).unwrap();
        assert_eq!(loaded.config.server.listen.to_string(), "127.0.0.1:8815");
        assert_eq!(loaded.origin("server.listen"), &Origin::Default);
        assert!(loaded.config.allow_local_paths());
    }

    #[test]
    fn flags_win_over_variables_and_those_over_the_file() {
        let sources = Sources::default()
            .with_text("skein.toml", "[query]\nmemory = \"1GiB\"\nbatch_size = 100\n[ingest]\nmemory = 1048576\n")
            .with_variables([
                ("SKEIN__QUERY__MEMORY".to_owned(), "2GiB".to_owned()),
                ("SKEIN__INGEST__MEMORY".to_owned(), "2MiB".to_owned()),
                ("SKEIN_URL".to_owned(), "not ours".to_owned()),
            ])
            .with_flag("--memory", "query.memory", "3GiB");
        let loaded = Config::load(&sources).unwrap();
        assert_eq!(loaded.config.query.memory_bytes(), 3 << 30);
        assert_eq!(loaded.config.ingest.memory.0, 2 << 20);
        assert_eq!(loaded.config.query.batch_size, 100);
        assert_eq!(loaded.origin("query.memory").to_string(), "--memory");
        assert_eq!(loaded.origin("ingest.memory").to_string(), "SKEIN__INGEST__MEMORY");
        assert_eq!(loaded.origin("query.batch_size").to_string(), "skein.toml:3");
    }

    #[test]
    fn all_errors_come_at_once_with_key_and_place() {
        let sources = Sources::default()
            .with_text(
                "skein.toml",
                "[server]\nlisten = \"here\"\nlisen = 1\n\n[qery]\nx = 1\n[tls]\ncert = \"c.pem\"\n",
            )
            .with_variables([("SKEIN__SERVER__DRAIN_TIMEOUT".to_owned(), "30".to_owned())])
            .with_flag("--set", "ingest.mode", "x");
        let found = messages(Config::load(&sources));
        assert_eq!(found.len(), 7, "{found:#?}");
        assert!(found[0].starts_with("skein.toml:2: server.listen: expected an IP address and port"), "{found:#?}");
        assert_eq!(found[1], "skein.toml:3: server.lisen: there is no such key; did you mean \"listen\"?");
        assert_eq!(found[2], "skein.toml:5: qery: there is no such section; did you mean \"query\"?");
        assert!(found[3].starts_with("SKEIN__SERVER__DRAIN_TIMEOUT: server.drain_timeout: expected a duration"));
        assert_eq!(found[4], "--set: ingest.mode: there is no such key; did you mean auth.mode?");
        assert!(found[5].starts_with("skein.toml:8: tls.cert: "), "{found:#?}");
    }

    #[test]
    fn broken_toml_says_the_line() {
        let found = messages(load_text("[server]\nlisten = \n"));
        assert!(found[0].starts_with("skein.toml:2: not valid TOML:"), "{found:#?}");
    }

    #[test]
    fn a_table_for_a_value_and_a_value_for_a_table() {
        let found = messages(load_text("query = 3\n[server.listen]\nx = 1\n[server.deep]\nx = 1\n"));
        assert_eq!(found[0], "skein.toml:1: query: expected a table, found a value");
        assert_eq!(found[1], "skein.toml:2: server.listen: expected a value, found a table");
        assert!(found[2].starts_with("skein.toml:4: server.deep: there is no such key"), "{found:#?}");
    }

    #[test]
    fn a_missing_file_is_an_error() {
        let found = messages(Config::load(&Sources::default().with_file(std::path::Path::new("/no/such/skein.toml"))));
        assert!(found[0].starts_with("/no/such/skein.toml: the file cannot be read"), "{found:#?}");
    }
}
