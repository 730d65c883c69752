//! What every index does, whatever it is made of: one suite that the flat index and all kinds of FAISS's run.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod answers;
mod files;
mod filters;
mod recall;
mod refusals;
mod support;
