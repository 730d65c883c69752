//! What turns texts into vectors.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What a text is for. Some models were trained with another prefix for what is searched for than for what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// A text to search with. It goes ahead of passages that wait.
    Query,
    /// A text to be found.
    Passage,
}

/// What is known about a loaded model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelInfo {
    /// The name it has in the configuration.
    pub name: String,
    /// `local`, `openai` or `ollama`.
    pub provider: &'static str,
    /// The folder, or the URL with the provider's name of the model.
    pub source: String,
    /// Tells apart models whose vectors cannot be compared. Of a local one, a hash of everything that goes into its vectors (weights, vocabulary,
    /// pooling, prefixes); of others, the provider's name for the model, and `version` of the configuration.
    pub version: String,
    /// Components of each vector.
    pub dimension: usize,
    /// Tokens of a text that are taken in, with the special ones; what is longer is cut off. None where only the provider knows.
    pub max_tokens: Option<usize>,
    /// Tokens of a passage that are taken in, without the special ones and the prefix: the largest chunk that is not cut off.
    pub passage_tokens: Option<usize>,
    /// Whether each vector has length 1.
    pub normalized: bool,
}

/// Why one text has no vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The text's position in the call.
    pub position: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "text {}: {}", self.position + 1, self.reason)
    }
}

/// The vectors of the texts of one call.
#[derive(Debug, Clone, PartialEq)]
pub struct Embeddings {
    dimension: usize,
    values: Vec<f32>,
    faults: Vec<Fault>,
    truncated: usize,
}

impl Embeddings {
    /// Room for `count` vectors of `dimension` components, zero each.
    pub(crate) fn zeroed(count: usize, dimension: usize) -> Result<Self> {
        let length = count
            .checked_mul(dimension)
            .ok_or_else(|| Error::Invalid(format!("{count} texts are too many for one call")))?;
        Ok(Self { dimension, values: vec![0.0; length], faults: Vec::new(), truncated: 0 })
    }

    /// Sets the vector of one text. A length that is not the dimension, or a component that is no number, is a fault of the text.
    pub(crate) fn set(&mut self, position: usize, vector: &[f32]) {
        if vector.iter().any(|x| !x.is_finite()) {
            return self.fail(position, "its vector has a component that is not a finite number");
        }
        let start = position * self.dimension;
        match self.values.get_mut(start..start + self.dimension) {
            Some(slot) if slot.len() == vector.len() => slot.copy_from_slice(vector),
            _ => {
                self.fail(position, format!("its vector has {} components instead of {}", vector.len(), self.dimension))
            }
        }
    }

    /// Records why a text has no vector.
    pub(crate) fn fail(&mut self, position: usize, reason: impl Into<String>) {
        let at = self.faults.partition_point(|fault| fault.position < position);
        self.faults.insert(at, Fault { position, reason: reason.into() });
    }

    /// Records that a text was longer than the model takes in.
    pub(crate) fn note_truncated(&mut self) {
        self.truncated += 1;
    }

    /// Components of each vector.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// How many texts there were.
    pub fn len(&self) -> usize {
        self.values.len() / self.dimension.max(1)
    }

    /// Whether there was no text.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The vectors end to end, in the order of the texts. That of a text with a fault is zeros.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The same, and the faults, given away.
    pub fn into_parts(self) -> (Vec<f32>, Vec<Fault>) {
        (self.values, self.faults)
    }

    /// The texts that have no vector, by position.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// How many texts were longer than the model takes in; their vectors stand for their beginnings. Counted where texts are cut here,
    /// not where a provider does so.
    pub fn truncated(&self) -> usize {
        self.truncated
    }

    /// The vector of one text, or why it has none.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the text's fault, or when there is no such text.
    pub fn get(&self, position: usize) -> Result<&[f32]> {
        if let Ok(at) = self.faults.binary_search_by_key(&position, |fault| fault.position) {
            return Err(Error::Invalid(self.faults.get(at).map(Fault::to_string).unwrap_or_default()));
        }
        let start = position.saturating_mul(self.dimension);
        self.values
            .get(start..start.saturating_add(self.dimension))
            .filter(|vector| !vector.is_empty())
            .ok_or_else(|| Error::Invalid(format!("there is no text {}", position.saturating_add(1))))
    }
}

/// A loaded model.
#[async_trait::async_trait]
pub trait Embedder: Send + Sync + fmt::Debug {
    /// What is known about the model.
    fn info(&self) -> &ModelInfo;

    /// The vectors of `texts`: as many as there are texts, in their order. A text that cannot have one, such as an empty one, is a fault in the answer and
    /// does not end the work on the others.
    ///
    /// Any number of texts may come; they are sent on in batches, a few at a time. Dropping the future ends the work after the batches that are under way.
    ///
    /// # Errors
    /// When the model or its provider cannot be used. Nothing is answered then, not even for texts that were done.
    async fn embed(&self, purpose: Purpose, texts: &[&str]) -> Result<Embeddings>;

    /// How many tokens the model sees in a text, without the special ones around it. None where only the provider knows.
    fn count_tokens(&self, text: &str) -> Option<usize>;
}

/// Why a text can have no vector, whatever the model; services refuse the whole batch for it.
pub(crate) fn objection(text: &str) -> Option<&'static str> {
    text.trim().is_empty().then_some("there is nothing in it but white space")
}

/// Scales a vector to length 1. One of zeros stays as it is.
pub(crate) fn normalize(vector: &mut [f32]) {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        for x in vector {
            *x /= length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_with_its_text_and_leaves_the_others() {
        let mut done = Embeddings::zeroed(4, 2).unwrap();
        done.set(0, &[1.0, 2.0]);
        done.set(1, &[f32::NAN, 0.0]);
        done.set(2, &[1.0]);
        done.set(3, &[3.0, 4.0]);
        assert_eq!(done.get(0).unwrap(), [1.0, 2.0]);
        assert!(done.get(1).unwrap_err().to_string().starts_with("text 2: its vector has a component"));
        assert!(done.get(2).unwrap_err().to_string().contains("1 components instead of 2"));
        assert!(done.get(4).unwrap_err().to_string().contains("there is no text 5"));
        assert_eq!(done.values(), [1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 3.0, 4.0]);
        assert_eq!((done.len(), done.faults().len()), (4, 2));
    }

    #[test]
    fn faults_are_in_the_order_of_the_texts() {
        let mut done = Embeddings::zeroed(3, 1).unwrap();
        done.fail(2, "late");
        done.fail(0, "early");
        assert_eq!(done.faults().iter().map(|f| f.position).collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn normalising_leaves_zeros_alone() {
        let mut vector = [3.0, 4.0];
        normalize(&mut vector);
        assert_eq!(vector, [0.6, 0.8]);
        let mut zeros = [0.0, 0.0];
        normalize(&mut zeros);
        assert_eq!(zeros, [0.0, 0.0]);
    }
}
