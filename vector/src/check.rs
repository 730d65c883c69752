//! What is asked of vectors before anything is computed with them.

use crate::{Error, MAX_DIMENSION, Metric, Result};

/// How long a vector may be (Euclidean length). A squared distance of two is at most (2 x this)^2 = 3.2e38, which an f32 still holds.
const LONGEST: f64 = 9.0e18;

/// Refuses a dimension that no index can have.
pub(crate) fn dimension(dimension: usize) -> Result<()> {
    if (1..=MAX_DIMENSION).contains(&dimension) {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "vectors of {dimension} numbers cannot be indexed; they must have from 1 to {MAX_DIMENSION}"
    )))
}

/// How many vectors there are, if all of them can be used. `what` names them in errors: "query", "vector".
///
/// # Errors
/// `InvalidInput` that names the first vector that cannot be: cut off, with a component that is not finite, of zeros under cosine, too long for f32.
pub(crate) fn vectors(values: &[f32], dimension: usize, metric: Metric, what: &str) -> Result<usize> {
    if !values.len().is_multiple_of(dimension) {
        return Err(Error::Invalid(format!(
            "{} numbers are no whole number of vectors: the index has {dimension} in each {what}",
            values.len()
        )));
    }
    for (row, vector) in values.chunks_exact(dimension).enumerate() {
        let length = length(vector);
        if !length.is_finite() {
            let at = vector.iter().position(|value| !value.is_finite()).unwrap_or_default();
            return Err(Error::Invalid(format!(
                "{what} {row} has {} at component {at}; all must be finite",
                vector[at]
            )));
        }
        if length == 0.0 && metric == Metric::Cosine {
            return Err(Error::Invalid(format!(
                "{what} {row} is all zeros, which has no direction for the cosine distance"
            )));
        }
        if length > LONGEST {
            return Err(Error::Invalid(format!(
                "{what} {row} is {length:.1e} long; distances of vectors longer than {LONGEST:.1e} do not fit 32-bit floats"
            )));
        }
    }
    Ok(values.len() / dimension)
}

/// Refuses a `k` of 0.
pub(crate) fn k(k: usize) -> Result<()> {
    if k == 0 {
        return Err(Error::Invalid("k is 0; ask for at least one neighbour".to_owned()));
    }
    Ok(())
}

/// Refuses a radius that is not a number.
pub(crate) fn radius(radius: f32) -> Result<()> {
    if radius.is_nan() {
        return Err(Error::Invalid("the radius is not a number".to_owned()));
    }
    Ok(())
}

/// Makes each vector 1 long. None of them may be of zeros.
pub(crate) fn normalise(values: &mut [f32], dimension: usize) {
    for vector in values.chunks_exact_mut(dimension) {
        let scale = 1.0 / length(vector);
        for value in vector {
            *value = narrow(f64::from(*value) * scale);
        }
    }
}

#[allow(clippy::cast_possible_truncation)]
fn narrow(value: f64) -> f32 {
    value as f32
}

fn length(vector: &[f32]) -> f64 {
    vector.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_that_cannot_be_used_are_named() {
        let why = |values: &[f32], metric| vectors(values, 2, metric, "query").unwrap_err().to_string();
        assert_eq!(vectors(&[1.0, 2.0, 0.0, 0.0], 2, Metric::L2, "query").unwrap(), 2);
        assert!(why(&[1.0, 2.0, 3.0], Metric::L2).contains("3 numbers are no whole number of vectors"));
        assert!(why(&[1.0, 2.0, 3.0, f32::NAN], Metric::L2).contains("query 1 has NaN at component 1"));
        assert!(why(&[f32::INFINITY, 2.0], Metric::L2).contains("query 0 has inf at component 0"));
        assert!(why(&[1.0, 0.0, 0.0, 0.0], Metric::Cosine).contains("query 1 is all zeros"));
        assert!(why(&[1e38, 0.0], Metric::L2).contains("do not fit"));
    }

    #[test]
    fn the_shortest_vectors_have_a_direction_too() {
        let mut tiny = [f32::MIN_POSITIVE, 0.0, 3e-30, 4e-30];
        assert_eq!(vectors(&tiny, 2, Metric::Cosine, "query").unwrap(), 2);
        normalise(&mut tiny, 2);
        assert_eq!(tiny, [1.0, 0.0, 0.6, 0.8]);
    }
}
