//! Changes of an index: each is made from the newest version of its document, however often others are faster.

use chrono::{DateTime, Utc};
use skein_catalog::Actor;
use skein_model::GenerationId;

use super::{
    Definition, Definitions, GenerationEntry,
    format::{FORMAT, KIND, document_id},
};
use crate::{Error, Result, SearchDefaults};

/// How often a change is tried when others change the same index.
pub(super) const ATTEMPTS: usize = 16;

impl Definitions {
    /// Adds a generation, or says that one that was being built is ready.
    ///
    /// # Errors
    /// `NotFound` when the index was dropped; `ResourceExhausted` when it has too many generations; `Conflict` when others keep
    /// changing it.
    pub async fn add_generation(&self, of: &Definition, entry: GenerationEntry) -> Result<Definition> {
        self.change(of, |index, _| index.add(entry.clone())).await
    }

    /// Has a generation answer from now on. When it does already, nothing changes.
    ///
    /// # Errors
    /// `NotFound` when the index was dropped or has no such generation; `InvalidInput` when that is still being built; `Conflict`
    /// when others keep changing the index.
    pub async fn promote(&self, of: &Definition, generation: GenerationId, actor: &Actor) -> Result<Definition> {
        let index = self.change(of, |index, now| index.promote(generation, actor, now)).await?;
        tracing::info!(index = %index.name, %generation, by = %actor.principal, "generation promoted");
        Ok(index)
    }

    /// Has the generation answer that did so before the live one. Doing it again goes further back.
    ///
    /// # Errors
    /// `InvalidInput` when none that was live before is there any more; otherwise as [`Definitions::promote`].
    pub async fn rollback(&self, of: &Definition, actor: &Actor) -> Result<Definition> {
        let index = self.change(of, |index, now| index.roll_back(actor, now)).await?;
        tracing::info!(index = %index.name, generation = ?index.live, by = %actor.principal, "index rolled back");
        Ok(index)
    }

    /// Has searches of a generation look so hard when they do not say it.
    ///
    /// # Errors
    /// `NotFound` when the index was dropped or has no such generation; `Conflict` when others keep changing the index.
    pub async fn tune(&self, of: &Definition, generation: GenerationId, search: SearchDefaults) -> Result<Definition> {
        self.change(of, |index, _| index.tune(generation, search)).await
    }

    /// Takes a generation out that is not live. Its files are left to the caller, who removes them after this.
    ///
    /// # Errors
    /// `InvalidInput` for the live one; otherwise as [`Definitions::promote`].
    pub async fn remove_generation(&self, of: &Definition, generation: GenerationId) -> Result<Definition> {
        self.change(of, |index, _| index.remove(generation)).await
    }

    async fn change(
        &self,
        of: &Definition,
        step: impl Fn(&mut Definition, DateTime<Utc>) -> Result<()>,
    ) -> Result<Definition> {
        let now = self.catalog.options().clock.now();
        let mut unclear: Option<Definition> = None;
        for _ in 0..ATTEMPTS {
            let found = self.latest(&of.name).await?.filter(|(_, found)| found.id == of.id);
            let (version, before) = found.ok_or_else(|| gone(of))?;
            // The answer to the last attempt was lost, and here is what it wrote.
            if unclear.as_ref() == Some(&before) {
                return Ok(before);
            }
            check_format(&before)?;
            let mut after = before.clone();
            step(&mut after, now)?;
            if after == before {
                return Ok(after);
            }
            match self.catalog.documents().put(KIND, &document_id(&of.name), version, &after).await {
                Ok(_) => return Ok(after),
                Err(skein_catalog::Error::Conflict { .. }) => {}
                Err(skein_catalog::Error::CommitUnknown { .. }) => unclear = Some(after),
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended(of))
    }
}

/// Refuses to change what a newer Skein wrote: what this one does not know of would be lost.
fn check_format(index: &Definition) -> Result<()> {
    if index.format > FORMAT {
        return Err(skein_catalog::Error::Unimplemented(format!(
            "index '{}' is stored in format {}, and this Skein knows formats up to {FORMAT}; upgrade it",
            index.name, index.format
        ))
        .into());
    }
    Ok(())
}

pub(super) fn gone(of: &Definition) -> Error {
    let hint = format!("; it (id {}) was dropped meanwhile", of.id);
    skein_catalog::Error::NotFound { what: "index", name: of.name.to_string(), hint }.into()
}

pub(super) fn contended(of: &Definition) -> Error {
    let (what, reason) = (format!("index '{}'", of.name), "it keeps being changed".to_owned());
    skein_catalog::Error::Conflict { what, reason }.into()
}

#[cfg(test)]
mod tests;
