//! Looking after what is stored: [`verify`] finds damage, [`gc`] removes what nothing refers to, [`resync`] restores
//! counts and statistics from the files themselves.

mod finding;
mod gc;
mod inspect;
mod layout;
mod log;
mod nameless;
mod resync;
#[cfg(test)]
mod testing;
mod verify;

pub use finding::{Finding, FindingKind, VerifyOptions, VerifyReport};
pub use gc::{Garbage, GarbageReason, GcReport, MIN_GRACE, gc};
pub use resync::{FileChange, ResyncReport, resync};
pub use verify::verify;

use crate::{Catalog, Dataset, Entry, Result};

/// All datasets that have a name.
async fn named_datasets(catalog: &Catalog) -> Result<Vec<Dataset>> {
    let entries = catalog.entries().await?.into_iter();
    Ok(entries
        .filter_map(|(_, entry)| match entry {
            Entry::Dataset(dataset) => Some(dataset),
            _ => None,
        })
        .collect())
}
