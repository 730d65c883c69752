//! docs/configuration.md, made from the declarations of the keys.

use std::fmt::Write as _;

use super::{Config, Section, sources::variable_of};

const INTRODUCTION: &str = "\
# Configuration

<!-- Made from flight-server/src/config/sections.rs. After a change there: SKEIN_BLESS=1 cargo test -p skein-flight-server reference -->

`skein serve` runs without any configuration: data in `./skein-data`, Flight on 127.0.0.1:8815, no login on loopback.

A key can be set in three places; a later one wins:

1. a TOML file: `skein serve --config skein.toml` (or the variable `SKEIN_CONFIG`),
2. an environment variable: `server.listen` is `SKEIN__SERVER__LISTEN`,
3. a flag: `--set server.listen=127.0.0.1:9000`, and for the common ones `--listen`, `--data`, `--http-listen`.

`skein config check` reports every mistake at once, each with its key and the line or variable it came from; an unknown key is
a mistake. `skein config print` shows what is in effect, where each value came from, and masks secrets.

Sizes are written as `\"512MiB\"`, `\"4GB\"` or a number of bytes; durations as `\"500ms\"`, `\"30s\"`, `\"5m\"`, `\"24h\"`, `\"7d\"`. A key
that may be left out is switched off by `\"off\"`.
";

const BUCKETS: &str = "\
### [storage.buckets.NAME]

One table for each bucket. The first in the file is where new datasets go unless another is named.

| key | kind | what it does |
|---|---|---|
| `url` | text | `file:///folder` (or a path), `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, or `memory:` for tests |
| `read_only` | true or false | never write to this bucket. Default: `false` |
| `options` | table | what the store needs: `endpoint`, `region`, `path_style`, `allow_http`, `access_key_id`, `secret_access_key`, ... |

Keep secrets out of the file: `SKEIN__STORAGE__BUCKETS__LAKE__OPTIONS__SECRET_ACCESS_KEY` sets the option of the bucket `lake`.

```toml
[storage.buckets.lake]
url = \"s3://lake/skein\"
options.endpoint = \"http://localhost:9000\"
options.region = \"us-east-1\"
options.path_style = true
options.allow_http = true

[storage.buckets.archive]
url = \"s3://archive\"
read_only = true
```
";

const MODELS: &str = "\
### [models.NAME]

One table for each model that makes vectors of texts. It is loaded when it is first asked for.

| key | kind | what it does |
|---|---|---|
| `provider` | text | `local`: a BERT-family model in a folder, computed in this process. `openai`, `ollama`: a service with that wire format |
| `path` | text | local: the folder with `config.json`, `tokenizer.json` (or `vocab.txt`) and `model.safetensors` |
| `max_tokens` | number | local: tokens of a text that are taken in, if not what the folder says |
| `url`, `model` | text | services: the address without the last part, such as `https://api.openai.com/v1` or `http://127.0.0.1:11434`; the provider's name of the model |
| `api_key_env` | text | services: the environment variable that holds the key |
| `dimension`, `send_dimension` | number, flag | services: numbers per vector; whether to ask for so many |
| `version` | text | services: what tells this model from earlier ones of the same name |
| `batch_size`, `concurrency`, `timeout_s`, `retries` | number | services: texts in a request (64), requests at a time (4), seconds for one (60), further tries (5) |
| `normalize` | true or false | whether vectors are scaled to length 1 |
| `query_prefix`, `passage_prefix` | text | what goes before a text to search with, and before one to be found |

```toml
[models.minilm]
provider = \"local\"
path = \"/srv/models/all-MiniLM-L6-v2\"

[models.openai]
provider = \"openai\"
url = \"https://api.openai.com/v1\"
model = \"text-embedding-3-small\"
api_key_env = \"OPENAI_API_KEY\"
```
";

/// The configuration reference, in Markdown.
pub fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    for section in Config::default().sections() {
        section_reference(&mut text, section);
        if section.name() == "storage" {
            let _ = write!(text, "\n{BUCKETS}");
        }
        if section.name() == "search" {
            let _ = write!(text, "\n{MODELS}");
        }
    }
    text
}

fn section_reference(text: &mut String, section: &dyn Section) {
    let _ = write!(text, "\n## [{}]\n\n{}\n\n", section.name(), paragraph(section.doc()));
    let _ = writeln!(text, "| key | kind | default | what it does |\n|---|---|---|---|");
    for key in section.keys() {
        let default = section.get(key.name).map_or_else(|| "not set".to_owned(), |value| format!("`{value}`"));
        let doc = paragraph(key.doc);
        let _ = writeln!(text, "| `{}` | {} | {default} | {doc} |", key.name, key.kind);
    }
    let example = section.keys().first().map(|key| variable_of(&format!("{}.{}", section.name(), key.name)));
    if let Some(variable) = example {
        let _ = writeln!(text, "\nAs variables: `{variable}`, ...");
    }
}

fn paragraph(doc: &str) -> String {
    doc.lines().map(str::trim).collect::<Vec<_>>().join(" ").trim().replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::PathBuf};

    #[test]
    fn the_reference_in_docs_is_current() {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
        if std::env::var_os("SKEIN_BLESS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, reference()).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == reference(),
            "docs/configuration.md is old: SKEIN_BLESS=1 cargo test -p skein-flight-server reference"
        );
    }

    #[test]
    fn every_key_is_explained() {
        for section in Config::default().sections() {
            for key in section.keys() {
                assert!(key.doc.trim().ends_with('.'), "{}.{} needs a sentence", section.name(), key.name);
            }
        }
    }
}
