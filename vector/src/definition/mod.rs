//! Indexes by name: what they are of, how they are built, which generations of them there are and which of those is live.
//!
//! An index is one versioned document, so each change of it happens whole or not at all, on whichever server. The files
//! of its generations are elsewhere (see [`crate::generation`]) and never change: an index begins to answer from another
//! generation when the document says so.

mod change;
mod definitions;
mod format;
mod history;

pub use definitions::{Definitions, NewIndex};
pub use format::{
    ColumnRef, Definition, EmbeddingModel, GenerationEntry, GenerationState, Promotion, PromotionKind, TextSource,
};
