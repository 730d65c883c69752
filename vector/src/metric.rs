//! How far two vectors are from each other.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Error;

/// How far two vectors are from each other. The smaller, the nearer, for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The Euclidean distance: the root of the sum of squares of differences.
    L2,
    /// 1 - cosine of the angle between them: 0 for the same direction, 2 for the opposite one. A vector of zeros has none.
    Cosine,
    /// The inner product, negated, so that the smaller is the nearer.
    InnerProduct,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::L2, Self::Cosine, Self::InnerProduct];

    /// Its name in SQL and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::L2 => "l2",
            Self::Cosine => "cosine",
            Self::InnerProduct => "inner_product",
        }
    }

    /// The distance of two vectors of the same length; the shorter length counts otherwise. NaN for the cosine distance of a vector of zeros.
    pub fn distance(self, a: &[f32], b: &[f32]) -> f32 {
        match self {
            Self::L2 => sum(a, b, |x, y| (x - y) * (x - y)).sqrt(),
            Self::InnerProduct => -sum(a, b, |x, y| x * y),
            Self::Cosine => {
                let norms = (sum(a, a, |x, y| x * y) * sum(b, b, |x, y| x * y)).sqrt();
                1.0 - sum(a, b, |x, y| x * y) / norms
            }
        }
    }
}

/// Numbers added side by side, so that the compiler uses vector registers.
const LANES: usize = 8;

fn sum(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let length = a.len().min(b.len());
    let (a, b) = (&a[..length], &b[..length]);
    let mut sums = [0.0_f32; LANES];
    let (chunks_a, chunks_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = chunks_a.remainder().iter().zip(chunks_b.remainder()).map(|(x, y)| term(*x, *y)).sum();
    for (x, y) in chunks_a.zip(chunks_b) {
        for lane in 0..LANES {
            sums[lane] += term(x[lane], y[lane]);
        }
    }
    sums.iter().sum::<f32>() + rest
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Metric {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name.to_ascii_lowercase().as_str() {
            "l2" | "euclidean" => Ok(Self::L2),
            "cosine" => Ok(Self::Cosine),
            "inner_product" | "ip" | "dot" => Ok(Self::InnerProduct),
            _ => Err(Error::Invalid(format!("'{name}' is no metric; there are l2, cosine and inner_product"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_the_nearer() {
        let (a, b) = ([1.0, 0.0, 2.0], [1.0, 4.0, 5.0]);
        assert_eq!(Metric::L2.distance(&a, &b), 5.0);
        assert_eq!(Metric::InnerProduct.distance(&a, &b), -11.0);
        assert_eq!(Metric::Cosine.distance(&[1.0, 0.0], &[0.0, 3.0]), 1.0);
        assert_eq!(Metric::Cosine.distance(&[1.0, 0.0], &[-2.0, 0.0]), 2.0);
        assert!(Metric::Cosine.distance(&[0.0, 0.0], &[1.0, 0.0]).is_nan());
    }

    #[test]
    fn long_vectors_are_added_up_whole() {
        let ones = vec![1.0; 1_003];
        assert_eq!(Metric::InnerProduct.distance(&ones, &ones), -1_003.0);
    }

    #[test]
    fn names_parse_back() {
        for metric in Metric::ALL {
            assert_eq!(metric.to_string().parse::<Metric>().unwrap(), metric);
        }
        assert!("manhattan".parse::<Metric>().unwrap_err().to_string().contains("there are l2"));
    }
}
