//! Where the rows go.

use serde::{Deserialize, Serialize};
use skein_catalog::{Catalog, Dataset, Entry, Error as CatalogError};
use skein_model::{Kind, TableName};

use crate::{Error, Result};

/// What may happen to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IngestMode {
    /// The table is made; it is an error if it exists.
    Create,
    /// Rows are added; it is an error if the table does not exist.
    Append,
    /// The table's rows and columns are replaced; it is made if it does not exist.
    Replace,
    /// Rows are added; the table is made if it does not exist.
    CreateAppend,
}

/// Where the rows go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestTarget {
    /// The table.
    pub name: TableName,
    /// What may happen to it.
    pub mode: IngestMode,
    /// The bucket of a table that is made; the default one when `None`.
    pub bucket: Option<String>,
}

/// The dataset that the target names now, if any, and whether the mode allows that.
///
/// # Errors
/// [`Error::TableExists`], [`Error::TableMissing`], [`Error::NotATable`], and a name nobody may create.
pub(crate) async fn look_up(catalog: &Catalog, target: &IngestTarget) -> Result<Option<Dataset>> {
    target.name.check_creatable().map_err(CatalogError::from)?;
    let found = match catalog.resolve_opt(&target.name).await? {
        None => None,
        Some(Entry::Dataset(dataset)) => Some(dataset),
        Some(Entry::View(_)) => return Err(not_a_table(target, "a view")),
        Some(Entry::External(_)) => return Err(not_a_table(target, "an external table")),
    };
    match (target.mode, &found) {
        (IngestMode::Create, Some(_)) => Err(Error::TableExists(target.name.clone())),
        (IngestMode::Append, None) => Err(missing(catalog, target).await),
        _ => Ok(found),
    }
}

fn not_a_table(target: &IngestTarget, what: &str) -> Error {
    Error::NotATable { name: target.name.clone(), what: what.to_owned() }
}

/// The catalog knows which similar names there are.
async fn missing(catalog: &Catalog, target: &IngestTarget) -> Error {
    let hint = match catalog.resolve(&target.name).await {
        Err(CatalogError::NotFound { hint, .. }) => hint,
        Err(error) if error.kind() != skein_model::ErrorKind::NotFound => return error.into(),
        _ => String::new(),
    };
    Error::TableMissing { name: target.name.clone(), hint }
}
