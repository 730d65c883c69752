//! The arithmetic, for both widths.

use std::str::FromStr;

use arrow::datatypes::{ArrowPrimitiveType, Float32Type, Float64Type};
use datafusion::scalar::ScalarValue;
use skein_vector::Metric;

use super::Measure;

/// A width of components and results.
pub(super) trait Number: ArrowPrimitiveType<Native: FromStr> {
    /// The distance by a metric.
    fn distance(metric: Metric, a: &[Self::Native], b: &[Self::Native]) -> Self::Native;
    /// The same, or its opposite. There is one zero and one NaN, both positive: others would be put before what they are equal to.
    fn tidy(value: Self::Native, negated: bool) -> Self::Native;
    fn root(value: Self::Native) -> Self::Native;
    fn scalar(value: Option<Self::Native>) -> ScalarValue;
}

impl Number for Float32Type {
    fn distance(metric: Metric, a: &[f32], b: &[f32]) -> f32 {
        metric.distance(a, b)
    }

    fn tidy(value: f32, negated: bool) -> f32 {
        let value = if negated { -value } else { value };
        if value.is_nan() { f32::NAN } else { value + 0.0 }
    }

    fn root(value: f32) -> f32 {
        value.sqrt()
    }

    fn scalar(value: Option<f32>) -> ScalarValue {
        ScalarValue::Float32(value)
    }
}

impl Number for Float64Type {
    fn distance(metric: Metric, a: &[f64], b: &[f64]) -> f64 {
        match metric {
            Metric::L2 => sum(a, b, |x, y| (x - y) * (x - y)).sqrt(),
            Metric::InnerProduct => -sum(a, b, |x, y| x * y),
            Metric::Cosine => {
                let norms = (sum(a, a, |x, y| x * y) * sum(b, b, |x, y| x * y)).sqrt();
                1.0 - sum(a, b, |x, y| x * y) / norms
            }
        }
    }

    fn tidy(value: f64, negated: bool) -> f64 {
        let value = if negated { -value } else { value };
        if value.is_nan() { f64::NAN } else { value + 0.0 }
    }

    fn root(value: f64) -> f64 {
        value.sqrt()
    }

    fn scalar(value: Option<f64>) -> ScalarValue {
        ScalarValue::Float64(value)
    }
}

/// What a function says of two vectors of one length.
pub(super) fn measure<T: Number>(measure: Measure, a: &[T::Native], b: &[T::Native]) -> T::Native {
    T::tidy(T::distance(measure.metric(), a, b), measure == Measure::InnerProduct)
}

/// The Euclidean length of a vector.
pub(super) fn norm<T: Number>(a: &[T::Native]) -> T::Native {
    T::tidy(T::root(T::tidy(T::distance(Metric::InnerProduct, a, a), true)), false)
}

/// Numbers added side by side, so that the compiler uses vector registers.
const LANES: usize = 4;

fn sum(a: &[f64], b: &[f64], term: impl Fn(f64, f64) -> f64) -> f64 {
    let mut sums = [0.0; LANES];
    let (chunks_a, chunks_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 = chunks_a.remainder().iter().zip(chunks_b.remainder()).map(|(x, y)| term(*x, *y)).sum();
    for (x, y) in chunks_a.zip(chunks_b) {
        for lane in 0..LANES {
            sums[lane] += term(x[lane], y[lane]);
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_widths_agree() {
        let a: Vec<f32> = (0..103_u8).map(|i| f32::from(i) / 8.0).collect();
        let b: Vec<f32> = (0..103_u8).map(|i| f32::from(i % 7) - 2.0).collect();
        let wide = |v: &[f32]| v.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        for function in Measure::ALL {
            let narrow = f64::from(measure::<Float32Type>(function, &a, &b));
            let exact = measure::<Float64Type>(function, &wide(&a), &wide(&b));
            assert!((narrow - exact).abs() <= exact.abs() * 1e-5, "{}: {narrow} {exact}", function.name());
        }
    }

    #[test]
    fn there_is_one_nan_and_one_zero() {
        let none = measure::<Float32Type>(Measure::Cosine, &[0.0, 0.0], &[1.0, 2.0]);
        assert_eq!(none.to_bits(), f32::NAN.to_bits());
        let zero = measure::<Float64Type>(Measure::NegativeInnerProduct, &[0.0], &[1.0]);
        assert!(zero == 0.0 && zero.is_sign_positive());
        assert_eq!(norm::<Float32Type>(&[3.0, 4.0]), 5.0);
    }
}
