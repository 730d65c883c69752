//! Where tantivy's files are: on disk while an index is built, in one piece of memory while it is searched.

mod folder;
mod packed;

pub(crate) use self::{folder::Folder, packed::Packed};
