//! The log of a dataset: one object per version, created once and never changed, and from time to time a checkpoint
//! that says what all of them together amount to.
//!
//! A version's object holds only what changed, so what a commit writes does not grow with the dataset.

mod checkpoint;
mod delta;
mod keys;
mod reader;
mod state;
mod totals;

pub(crate) use checkpoint::{Checkpoint, Expiration};
pub(crate) use delta::Delta;
pub(crate) use keys::{data_key, dataset_folder, deletes_key, delta_key};
pub(crate) use reader::{Following, Found, LogReader};
pub(crate) use state::State;
