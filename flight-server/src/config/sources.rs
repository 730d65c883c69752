//! Where configuration comes from.

use std::path::Path;

/// Prefix of the environment variables that set keys.
const PREFIX: &str = "SKEIN__";

/// The sources of one configuration; a later kind wins over an earlier one: file, environment, flags.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    pub(super) file: Option<File>,
    pub(super) variables: Vec<(String, String)>,
    pub(super) flags: Vec<Flag>,
}

#[derive(Debug, Clone)]
pub(super) struct File {
    pub name: String,
    /// The text, or why it could not be read.
    pub text: Result<String, String>,
}

#[derive(Debug, Clone)]
pub(super) struct Flag {
    /// As typed, such as `--listen`.
    pub name: String,
    /// The key it sets, such as `server.listen`.
    pub key: String,
    pub value: String,
}

impl Sources {
    /// Reads a TOML file. A file that cannot be read becomes an error of `Config::load`.
    #[must_use]
    pub fn with_file(mut self, path: &Path) -> Self {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
        self.file = Some(File { name: path.display().to_string(), text });
        self
    }

    /// Uses `text` as if it had been read from a file of that name.
    #[must_use]
    pub fn with_text(mut self, name: &str, text: &str) -> Self {
        self.file = Some(File { name: name.to_owned(), text: Ok(text.to_owned()) });
        self
    }

    /// Takes those variables that start with `SKEIN__`.
    #[must_use]
    pub fn with_variables(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.variables.extend(variables.into_iter().filter(|(name, _)| name.starts_with(PREFIX)));
        self.variables.sort();
        self
    }

    /// Takes the process's environment; variables that are not UTF-8 are left out.
    #[must_use]
    pub fn with_environment(self) -> Self {
        self.with_variables(
            std::env::vars_os().filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?))),
        )
    }

    /// Sets the key (`section.key`) to `value`, on behalf of the flag `name`.
    #[must_use]
    pub fn with_flag(mut self, name: &str, key: &str, value: &str) -> Self {
        self.flags.push(Flag { name: name.to_owned(), key: key.to_owned(), value: value.to_owned() });
        self
    }
}

/// The key that an environment variable stands for: `SKEIN__SERVER__LISTEN` is `server.listen`.
pub(super) fn key_of(variable: &str) -> Vec<String> {
    variable.trim_start_matches(PREFIX).split("__").map(str::to_ascii_lowercase).collect()
}

/// The environment variable for a key.
pub(super) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "__"))
}
