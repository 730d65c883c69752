//! Indexes of FAISS, reached through our bridge in C++ (`vector/bridge`, docs/decisions/0023-faiss.md).
//!
//! A [`Builder`] makes a [`FaissIndex`] of an [`crate::IndexSpec`] and vectors; [`FaissIndex::write`] and [`FaissIndex::read`] move it to and from a file.

mod bits;
mod builder;
mod factory;
mod ffi;
mod file;
mod handle;
mod index;
mod limits;
mod plan;
mod search;
mod variant;

pub use builder::{Builder, Stopper, estimate};
pub use index::FaissIndex;
pub use limits::validate;
pub use variant::{instruction_set, version};
