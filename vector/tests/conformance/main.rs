//! What every index does, whatever it is made of: one suite that the flat index and all kinds of FAISS's run.

mod answers;
mod files;
mod filters;
mod recall;
mod refusals;
mod support;
