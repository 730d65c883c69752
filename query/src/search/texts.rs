//! Texts that are looked for by their meaning: the model that made an index's vectors makes vectors of them.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, StringArray},
    datatypes::Float32Type,
};
use datafusion::execution::session_state::SessionState;
use skein_ai::{Models, Purpose};

use super::{finder::Aim, known::chosen};
use crate::{Error, Result, functions};

/// The vectors of some texts, end to end.
///
/// # Errors
/// `InvalidInput` where no index says which model it was, or that is another one by now; whatever the model runs into.
pub(super) async fn embedded(texts: &[&str], aim: &Aim, state: &SessionState) -> Result<Vec<f32>> {
    let advice = "or give the vector, such as embed('model', 'text', 'query')";
    let index = chosen(&aim.table, aim.column.as_deref(), aim.metric, &aim.options).await?;
    let index = index.ok_or_else(|| {
        Error::Invalid(format!(
            "a text is looked for in vectors by the model that their index names, and they have no index: create one WITH (model = '...'), {advice}"
        ))
    })?;
    let made_by = index.model.as_ref().ok_or_else(|| {
        Error::Invalid(format!("index '{}' names no model: create it WITH (model = '...'), {advice}", index.name))
    })?;
    let models = state.config().get_extension::<Models>().unwrap_or_default();
    let model = models.get(&made_by.name).await?;
    if made_by.version.as_ref().is_some_and(|version| *version != model.info().version) {
        return Err(Error::Invalid(format!(
            "index '{}' has vectors of another version of model '{}' than the one that is configured; embed the texts anew and create the index again, {advice}",
            index.name, made_by.name
        )));
    }
    let texts: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
    let vectors = functions::embed(model.as_ref(), Purpose::Query, &texts).await?;
    Ok(vectors.values().as_primitive::<Float32Type>().values().to_vec())
}
