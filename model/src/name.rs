//! Names of tables. A name is metadata and never becomes a path, so nearly every character is allowed.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ErrorKind, Kind};

/// The one catalog.
pub const DEFAULT_CATALOG: &str = "skein";
/// Where datasets and views live unless another schema is named.
pub const DEFAULT_SCHEMA: &str = "public";
/// Where Skein shows its own state; nothing can be created in it.
pub const SYSTEM_SCHEMA: &str = "system";
/// Longest accepted part of a name, in bytes.
const MAX_PART_BYTES: usize = 255;
/// Schemas whose tables are made by the server.
const RESERVED_SCHEMAS: [&str; 2] = [SYSTEM_SCHEMA, "information_schema"];

/// A validated two-part name, `schema.table`. Case is kept and matters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableName {
    schema: String,
    table: String,
}

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameError {
    /// A part is the empty string.
    Empty,
    /// A part is longer than 255 bytes.
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// A part holds a control character (NUL, newline, ...).
    ControlCharacter {
        /// The offending character.
        character: char,
    },
    /// A path descriptor had no part, or more than three.
    Parts {
        /// How many it had.
        count: usize,
    },
    /// The first of three parts names another catalog.
    UnknownCatalog {
        /// The name given.
        catalog: String,
    },
    /// The schema belongs to the server.
    ReservedSchema {
        /// The name given.
        schema: String,
    },
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "a table name is empty; give it at least one character"),
            Self::TooLong { bytes } => {
                write!(f, "a table name is {bytes} bytes long; the limit is {MAX_PART_BYTES}")
            }
            Self::ControlCharacter { character } => {
                write!(f, "a table name holds the control character {character:?}; use printable characters")
            }
            Self::Parts { count } => write!(
                f,
                "a table path has {count} parts; give [table], [schema, table] or [{DEFAULT_CATALOG}, schema, table]"
            ),
            Self::UnknownCatalog { catalog } => {
                write!(f, "catalog '{catalog}' does not exist; the only catalog is '{DEFAULT_CATALOG}'")
            }
            Self::ReservedSchema { schema } => {
                write!(f, "schema '{schema}' belongs to the server; use another one, such as '{DEFAULT_SCHEMA}'")
            }
        }
    }
}

impl std::error::Error for NameError {}

impl Kind for NameError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownCatalog { .. } => ErrorKind::NotFound,
            _ => ErrorKind::InvalidInput,
        }
    }
}

impl TableName {
    /// A name from its two parts.
    ///
    /// # Errors
    /// When a part is empty, longer than 255 bytes, or holds a control character.
    pub fn new(schema: impl Into<String>, table: impl Into<String>) -> Result<Self, NameError> {
        let name = Self { schema: schema.into(), table: table.into() };
        check_part(&name.schema)?;
        check_part(&name.table)?;
        Ok(name)
    }

    /// A table in the default schema.
    ///
    /// # Errors
    /// As [`TableName::new`].
    pub fn in_default_schema(table: impl Into<String>) -> Result<Self, NameError> {
        Self::new(DEFAULT_SCHEMA, table)
    }

    /// A name from the parts of a Flight PATH descriptor: `[table]`, `[schema, table]` or `[catalog, schema, table]`.
    /// Parts are taken literally: `["a.b"]` is the table `a.b`, not table `b` of schema `a`.
    ///
    /// # Errors
    /// As [`TableName::new`], and when there are not one to three parts or the catalog is not Skein's.
    pub fn from_path<S: AsRef<str>>(parts: &[S]) -> Result<Self, NameError> {
        match parts {
            [table] => Self::in_default_schema(table.as_ref()),
            [schema, table] => Self::new(schema.as_ref(), table.as_ref()),
            [catalog, schema, table] if catalog.as_ref() == DEFAULT_CATALOG => {
                Self::new(schema.as_ref(), table.as_ref())
            }
            [catalog, _, _] => Err(NameError::UnknownCatalog { catalog: catalog.as_ref().to_owned() }),
            _ => Err(NameError::Parts { count: parts.len() }),
        }
    }

    /// Refuses schemas whose tables are made by the server; call it before creating anything.
    ///
    /// # Errors
    /// [`NameError::ReservedSchema`].
    pub fn check_creatable(&self) -> Result<(), NameError> {
        if RESERVED_SCHEMAS.contains(&self.schema.as_str()) {
            return Err(NameError::ReservedSchema { schema: self.schema.clone() });
        }
        Ok(())
    }

    /// The schema part.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The table part.
    pub fn table(&self) -> &str {
        &self.table
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

fn check_part(part: &str) -> Result<(), NameError> {
    if part.is_empty() {
        return Err(NameError::Empty);
    }
    if part.len() > MAX_PART_BYTES {
        return Err(NameError::TooLong { bytes: part.len() });
    }
    match part.chars().find(|c| c.is_control()) {
        Some(character) => Err(NameError::ControlCharacter { character }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_but_printable_names_are_fine() {
        for name in ["flights", "a.b", "..", "a/b", "it's \"quoted\"", "🪿", " "] {
            assert_eq!(TableName::in_default_schema(name).unwrap().table(), name);
        }
    }

    #[test]
    fn unusable_names_say_why() {
        assert_eq!(TableName::in_default_schema(""), Err(NameError::Empty));
        assert_eq!(TableName::in_default_schema("x".repeat(300)), Err(NameError::TooLong { bytes: 300 }));
        let nul = TableName::in_default_schema("a\0b").unwrap_err();
        assert_eq!(nul, NameError::ControlCharacter { character: '\0' });
        assert_eq!(nul.kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn paths_have_one_to_three_parts() {
        assert_eq!(TableName::from_path(&["t"]).unwrap().to_string(), "public.t");
        assert_eq!(TableName::from_path(&["s", "t"]).unwrap().to_string(), "s.t");
        assert_eq!(TableName::from_path(&["skein", "s", "t"]).unwrap().to_string(), "s.t");
        assert_eq!(TableName::from_path(&["x", "s", "t"]).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(TableName::from_path::<&str>(&[]), Err(NameError::Parts { count: 0 }));
    }

    #[test]
    fn the_servers_own_schemas_are_closed() {
        assert!(TableName::new("system", "x").unwrap().check_creatable().is_err());
        assert!(TableName::new("mine", "x").unwrap().check_creatable().is_ok());
    }
}
