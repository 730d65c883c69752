//! The parts of the encoder that are not matrix products, written so that the compiler uses vector instructions. candle's own call a scalar `erf` and `exp`
//! for each number and copy at each step, which takes a third of the time of long texts.

use candle_core::{CpuStorage, InplaceOp1, InplaceOp2, Layout, Result as Candle, bail};

use super::folder::Activation;

/// Adds a row to each row of a matrix, in place, and may put an activation on the sums.
pub(super) struct AddBias(pub Option<Activation>);

impl InplaceOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add-bias"
    }

    fn cpu_fwd(&self, matrix: &mut CpuStorage, layout: &Layout, bias: &CpuStorage, bias_layout: &Layout) -> Candle<()> {
        let (CpuStorage::F32(matrix), CpuStorage::F32(bias)) = (matrix, bias) else {
            bail!("only 32-bit floats are added")
        };
        let bias = part(bias, bias_layout)?;
        for row in part_mut(matrix, layout)?.chunks_exact_mut(bias.len().max(1)) {
            let sums = row.iter_mut().zip(bias);
            match self.0 {
                None => sums.for_each(|(x, b)| *x += b),
                Some(Activation::Gelu) => sums.for_each(|(x, b)| *x = gelu(*x + b)),
                Some(Activation::GeluNew) => sums.for_each(|(x, b)| *x = gelu_new(*x + b)),
                Some(Activation::Relu) => sums.for_each(|(x, b)| *x = (*x + b).max(0.0)),
            }
        }
        Ok(())
    }
}

/// Makes the numbers of each row (the last dimension) positive and 1 in sum, in place.
pub(super) struct Softmax;

impl InplaceOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Candle<()> {
        let CpuStorage::F32(values) = storage else { bail!("only 32-bit floats have a softmax") };
        let width = layout.dims().last().copied().unwrap_or(1).max(1);
        part_mut(values, layout)?.chunks_exact_mut(width).for_each(softmax);
        Ok(())
    }
}

fn part<'a>(values: &'a [f32], layout: &Layout) -> Candle<&'a [f32]> {
    match layout.contiguous_offsets().and_then(|(start, end)| values.get(start..end)) {
        Some(part) => Ok(part),
        None => bail!("the tensor is not contiguous"),
    }
}

fn part_mut<'a>(values: &'a mut [f32], layout: &Layout) -> Candle<&'a mut [f32]> {
    match layout.contiguous_offsets().and_then(|(start, end)| values.get_mut(start..end)) {
        Some(part) => Ok(part),
        None => bail!("the tensor is not contiguous"),
    }
}

fn softmax(row: &mut [f32]) {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|x| *x = exp(*x - most));
    let factor = 1.0 / row.iter().sum::<f32>();
    row.iter_mut().for_each(|x| *x *= factor);
}

/// x Phi(x), where Phi is the normal distribution (Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016).
#[inline(always)]
fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// The approximation of [`gelu`] by tanh, from the same paper; tanh by [`exp`].
#[inline(always)]
fn gelu_new(x: f32) -> f32 {
    let inner = 0.797_884_6 * (x + 0.044_715 * x * x * x);
    x - x / (exp((2.0 * inner).clamp(-80.0, 80.0)) + 1.0)
}

/// The error function to 2e-7, by Abramowitz and Stegun, "Handbook of Mathematical Functions", 7.1.26.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let size = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * size);
    let sum = t * (0.254_829_6 + t * (-0.284_496_72 + t * (1.421_413_8 + t * (-1.453_152 + t * 1.061_405_4))));
    (1.0 - sum * exp(-(size * size))).copysign(x)
}

/// e^x for x up to 88, to 3e-7 of itself; 0 below -87. 2^n with whole n is put together of bits, and the rest, e^r with |r| <= ln 2 / 2, is its Taylor series.
/// NaN gives NaN.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Adding it rounds a number to a whole one, which is then in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts, of which the first has few enough bits that n times it is exact.
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let series =
        1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0))))));
    let scaled = f32::from_bits(series.to_bits().wrapping_add(shifted.to_bits() << 23));
    let scaled = if x < -87.0 { 0.0 } else { scaled };
    if x.is_nan() { x } else { scaled }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    /// The error function by its series, in 64 bits; good up to 3.
    fn exact_erf(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..80 {
            let n = f64::from(n);
            term *= -x * x / n;
            sum += term / (2.0 * n + 1.0);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    }

    fn steps(from: f32, to: f32) -> impl Iterator<Item = f32> {
        (0..=10_000u16).map(move |i| from + (to - from) * f32::from(i) / 10_000.0)
    }

    #[test]
    fn exp_is_near_enough() {
        for x in steps(-86.0, 20.0) {
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.0).abs() < 3e-7, "{x}");
        }
        assert_eq!((exp(0.0), exp(-100.0), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn erf_is_near_enough() {
        let fault = |x: f32| (f64::from(erf(x)) - exact_erf(f64::from(x))).abs();
        let worst = steps(-3.0, 3.0).map(fault).fold(0.0, f64::max);
        assert!(worst < 6e-7, "{worst}");
        assert_eq!((erf(20.0), erf(-20.0)), (1.0, -1.0));
    }

    #[test]
    fn the_approximation_of_gelu_is_near_it() {
        for x in steps(-10.0, 10.0) {
            assert!((gelu(x) - gelu_new(x)).abs() < 1e-3, "{x}");
        }
        assert_eq!((gelu_new(60.0), gelu_new(-60.0)), (60.0, 0.0));
    }

    #[test]
    fn rows_of_a_softmax_are_one_in_sum() {
        let values = Tensor::new(&[[1.0f32, 2.0, 3.0], [1000.0, -1000.0, 1000.0]], &Device::Cpu).unwrap();
        values.inplace_op1(&Softmax).unwrap();
        let rows = values.to_vec2::<f32>().unwrap();
        for (found, wanted) in rows[0].iter().zip([0.090_030_57, 0.244_728_47, 0.665_240_96]) {
            assert!((found - wanted).abs() < 1e-6);
        }
        assert_eq!(rows[1], [0.5, 0.0, 0.5]);
    }

    #[test]
    fn a_bias_is_added_to_each_row() {
        let bias = Tensor::new(&[1.0f32, -3.0], &Device::Cpu).unwrap();
        let add = |activation| {
            let values = Tensor::new(&[[1.0f32, 1.0], [2.0, 2.0]], &Device::Cpu).unwrap();
            values.inplace_op2(&bias, &AddBias(activation)).unwrap();
            values.to_vec2::<f32>().unwrap()
        };
        assert_eq!(add(None), [[2.0, -2.0], [3.0, -1.0]]);
        assert_eq!(add(Some(Activation::Relu)), [[2.0, 0.0], [3.0, 0.0]]);
        assert!((add(Some(Activation::Gelu))[0][0] - 1.954_499_7).abs() < 1e-6);
    }
}
