//! The keys of documents.

use crate::{
    Error, Result,
    persisted::{parse_version, version_text},
};

pub(super) const ROOT: &str = "_skein/docs";
/// Longest accepted kind or id, in bytes.
const MAX_PART: usize = 128;

/// What a key says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parsed<'a> {
    pub(super) id: &'a str,
    pub(super) version: u64,
}

pub(super) fn kind_folder(kind: &str) -> String {
    format!("{ROOT}/{kind}")
}

pub(super) fn folder(kind: &str, id: &str) -> String {
    format!("{ROOT}/{kind}/{id}")
}

pub(super) fn key(kind: &str, id: &str, version: u64) -> String {
    format!("{ROOT}/{kind}/{id}/{}.json", version_text(version))
}

/// Reads a key; other files in the folder are none of ours and are passed over.
pub(super) fn parse(key: &str) -> Option<Parsed<'_>> {
    let (_, rest) = key.strip_prefix(ROOT)?.strip_prefix('/')?.split_once('/')?;
    let (id, file) = rest.split_once('/')?;
    Some(Parsed { id, version: parse_version(file.strip_suffix(".json")?)? })
}

/// Refuses what could become a path.
pub(super) fn check(kind: &str, id: &str) -> Result<()> {
    let plain = |part: &str| {
        (1..=MAX_PART).contains(&part.len())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if plain(kind) && plain(id) {
        return Ok(());
    }
    Err(Error::InvalidInput(format!(
        "'{}' is no document id: use 1 to {MAX_PART} ASCII letters, digits, '-' and '_'",
        id.escape_default()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        let written = key("note", "a-1", 12);
        assert_eq!(written, "_skein/docs/note/a-1/00000000000000000012.json");
        assert_eq!(parse(&written), Some(Parsed { id: "a-1", version: 12 }));
        for other in ["_skein/docs/note/a/1.json", "_skein/docs/note/a/00000000000000000012.tmp", "x"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
