//! The command of a DoPut that sends a file.

use bytes::Bytes;
use prost::Message;
use serde::Deserialize;
use serde_json::{Map, Value};
use skein_model::TableName;

use crate::{
    Error, Result,
    v1::{IngestFileCommand, IngestMode},
};

const TYPE_URL: &str = "type.googleapis.com/skein.v1.IngestFileCommand";

/// What a client asks for when it sends a file. The batches that follow carry the file's bytes in one binary column, `chunk`.
///
/// On the wire: a `google.protobuf.Any` of [`IngestFileCommand`], or, from clients without generated code,
/// `{"ingest_file": {"path": ["flights"], "mode": "create_append", "bucket": "lake", "options": {...}}}`.
#[derive(Debug, Clone, PartialEq)]
pub struct IngestFile {
    /// The target.
    pub table: TableName,
    /// What may already be there; never `Unspecified`.
    pub mode: IngestMode,
    /// The bucket of a table that is created; the default bucket when `None`.
    pub bucket: Option<String>,
    /// Format, dialect, overrides, as the ingest crate defines them.
    pub options: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonCommand {
    ingest_file: JsonFields,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonFields {
    path: JsonPath,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    bucket: Option<String>,
    #[serde(default)]
    options: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum JsonPath {
    Table(String),
    Parts(Vec<String>),
}

/// The same layout as `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

impl IngestFile {
    /// Reads a descriptor's command. `None` when it is some other command.
    ///
    /// # Errors
    /// [`Error::IngestFile`] when it is this command and something in it is wrong.
    pub fn decode(command: &[u8]) -> Result<Option<Self>> {
        if command.trim_ascii_start().starts_with(b"{") {
            return Self::from_json(command);
        }
        match Any::decode(command) {
            Ok(any) if any.type_url == TYPE_URL => IngestFileCommand::decode(any.value)
                .map_err(|error| wrong(error.to_string()))
                .and_then(Self::from_message)
                .map(Some),
            _ => Ok(None),
        }
    }

    /// Writes it as a descriptor's command.
    pub fn encode(&self) -> Bytes {
        let command = IngestFileCommand {
            path: vec![self.table.schema().to_owned(), self.table.table().to_owned()],
            mode: self.mode.into(),
            bucket: self.bucket.clone().unwrap_or_default(),
            options_json: if self.options.is_empty() {
                String::new()
            } else {
                Value::Object(self.options.clone()).to_string()
            },
        };
        encode_ingest_file(&command)
    }

    fn from_message(command: IngestFileCommand) -> Result<Self> {
        let mode =
            IngestMode::try_from(command.mode).map_err(|_| wrong(format!("there is no mode {}", command.mode)))?;
        let options = match command.options_json.as_str() {
            "" => Map::new(),
            text => serde_json::from_str(text).map_err(|error| wrong(format!("options_json: {error}")))?,
        };
        Ok(Self {
            table: TableName::from_path(&command.path).map_err(|error| wrong(error.to_string()))?,
            mode: if mode == IngestMode::Unspecified { IngestMode::CreateAppend } else { mode },
            bucket: Some(command.bucket).filter(|bucket| !bucket.is_empty()),
            options,
        })
    }

    fn from_json(command: &[u8]) -> Result<Option<Self>> {
        let value: Value = serde_json::from_slice(command).map_err(|error| wrong(error.to_string()))?;
        if value.get("ingest_file").is_none() {
            return Ok(None);
        }
        let JsonCommand { ingest_file } = serde_json::from_value(value).map_err(|error| wrong(error.to_string()))?;
        let table = match ingest_file.path {
            JsonPath::Table(table) => TableName::in_default_schema(table),
            JsonPath::Parts(parts) => TableName::from_path(&parts),
        };
        Ok(Some(Self {
            table: table.map_err(|error| wrong(error.to_string()))?,
            mode: ingest_file.mode.as_deref().map_or(Ok(IngestMode::CreateAppend), parse_mode)?,
            bucket: ingest_file.bucket,
            options: ingest_file.options,
        }))
    }
}

/// Wraps the command as the bytes of a descriptor.
pub fn encode_ingest_file(command: &IngestFileCommand) -> Bytes {
    Any { type_url: TYPE_URL.to_owned(), value: command.encode_to_vec().into() }.encode_to_vec().into()
}

fn parse_mode(mode: &str) -> Result<IngestMode> {
    match mode {
        "create" => Ok(IngestMode::Create),
        "append" => Ok(IngestMode::Append),
        "replace" => Ok(IngestMode::Replace),
        "create_append" => Ok(IngestMode::CreateAppend),
        _ => Err(wrong(format!("mode '{mode}' is none of create, append, replace, create_append"))),
    }
}

fn wrong(reason: String) -> Error {
    Error::IngestFile { reason }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> IngestFile {
        let options = serde_json::from_str(r#"{"file_name": "a.csv", "csv": {"delimiter": ";"}}"#).unwrap();
        IngestFile {
            table: TableName::in_default_schema("a.b").unwrap(),
            mode: IngestMode::Replace,
            bucket: Some("lake".into()),
            options,
        }
    }

    #[test]
    fn both_forms_say_the_same() {
        assert_eq!(IngestFile::decode(&sample().encode()).unwrap().unwrap(), sample());
        let json = br#"{"ingest_file": {"path": ["a.b"], "mode": "replace", "bucket": "lake",
                        "options": {"file_name": "a.csv", "csv": {"delimiter": ";"}}}}"#;
        assert_eq!(IngestFile::decode(json).unwrap().unwrap(), sample());
        let short = IngestFile::decode(br#"{"ingest_file": {"path": "t"}}"#).unwrap().unwrap();
        assert_eq!((short.table.to_string().as_str(), short.mode), ("public.t", IngestMode::CreateAppend));
    }

    #[test]
    fn other_commands_are_left_alone_and_wrong_ones_explained() {
        assert_eq!(IngestFile::decode(b"select 1").unwrap(), None);
        assert_eq!(IngestFile::decode(br#"{"something": 1}"#).unwrap(), None);
        for (command, says) in [
            (r#"{"ingest_file": {"path": []}}"#, "0 parts"),
            (r#"{"ingest_file": {"path": ["t"], "mode": "upsert"}}"#, "upsert"),
            (r#"{"ingest_file": {"path": ["t"], "modus": "append"}}"#, "modus"),
        ] {
            let error = IngestFile::decode(command.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..100) {
            let _ = IngestFile::decode(&bytes);
            let mut command = sample().encode().to_vec();
            command.truncate(cut);
            command.extend(bytes);
            let _ = IngestFile::decode(&command);
        }
    }
}
