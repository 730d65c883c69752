//! Sizes that hostile or careless input may not exceed.

/// Longest name of a column of a table, in bytes. Longer ones are mistakes, such as a whole line taken for a header.
pub const MAX_COLUMN_NAME_BYTES: usize = 4096;

/// Longest name of a user, in bytes.
pub const MAX_USER_NAME_BYTES: usize = 128;

/// Upper bounds on what one request may carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest accepted gRPC message, in bytes.
    pub max_message_bytes: usize,
    /// Longest accepted SQL text, in bytes.
    pub max_sql_bytes: usize,
    /// Most columns a table may have.
    pub max_columns: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_message_bytes: 512 << 20, max_sql_bytes: 16 << 20, max_columns: 20_000 }
    }
}
