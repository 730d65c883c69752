//! Sums over many vectors, with the widest registers that the processor has.

/// What is summed up over the components of two vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sum {
    /// Squared differences.
    Squares,
    /// Products.
    Products,
}

/// The sum for the query with each of `rows`, which lie end to end, into `sums`, one per row.
pub(crate) fn sums(sum: Sum, query: &[f32], rows: &[f32], sums: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
        #[allow(unsafe_code)]
        // SAFETY: the processor has what the function asks for.
        return unsafe { with_avx2(sum, query, rows, sums) };
    }
    all::<false>(sum, query, rows, sums);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2(sum: Sum, query: &[f32], rows: &[f32], sums: &mut [f32]) {
    all::<true>(sum, query, rows, sums);
}

#[inline(always)]
fn all<const FUSED: bool>(sum: Sum, query: &[f32], rows: &[f32], sums: &mut [f32]) {
    let rows = rows.chunks_exact(query.len().max(1));
    match sum {
        Sum::Squares => sums.iter_mut().zip(rows).for_each(|(sum, row)| *sum = one::<FUSED, true>(query, row)),
        Sum::Products => sums.iter_mut().zip(rows).for_each(|(sum, row)| *sum = one::<FUSED, false>(query, row)),
    }
}

/// Numbers added side by side: four registers of eight, which hides how long one addition takes.
const LANES: usize = 32;

#[inline(always)]
fn one<const FUSED: bool, const SQUARES: bool>(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (wide_a, wide_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (rest_a, rest_b) = (wide_a.remainder(), wide_b.remainder());
    for (a, b) in wide_a.zip(wide_b) {
        for lane in 0..LANES {
            sums[lane] = plus::<FUSED, SQUARES>(a[lane], b[lane], sums[lane]);
        }
    }
    for (lane, (a, b)) in rest_a.iter().zip(rest_b).enumerate() {
        sums[lane] = plus::<FUSED, SQUARES>(*a, *b, sums[lane]);
    }
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
        half /= 2;
    }
    sums[0]
}

#[inline(always)]
fn plus<const FUSED: bool, const SQUARES: bool>(a: f32, b: f32, sum: f32) -> f32 {
    let (a, b) = if SQUARES { (a - b, a - b) } else { (a, b) };
    // Without the instruction it is a call of a function, and slow.
    if FUSED { a.mul_add(b, sum) } else { a * b + sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_the_same_for_every_length_and_instruction_set() {
        for length in [1, 3, 8, 31, 32, 33, 100, 768] {
            let number = |at: usize| f32::from(u8::try_from(at * 37 % 251).unwrap()) / 16.0 - 7.0;
            let query: Vec<f32> = (0..length).map(number).collect();
            let rows: Vec<f32> = (0..3 * length).map(|at| number(at + 5)).collect();
            for sum in [Sum::Squares, Sum::Products] {
                let (mut fast, mut plain) = ([0.0; 3], [0.0; 3]);
                sums(sum, &query, &rows, &mut fast);
                all::<false>(sum, &query, &rows, &mut plain);
                for (row, (fast, plain)) in rows.chunks_exact(length).zip(fast.into_iter().zip(plain)) {
                    let exact: f64 = query
                        .iter()
                        .zip(row)
                        .map(|(a, b)| (f64::from(*a), f64::from(*b)))
                        .map(|(a, b)| if sum == Sum::Squares { (a - b) * (a - b) } else { a * b })
                        .sum();
                    for sum in [fast, plain] {
                        assert!((f64::from(sum) - exact).abs() <= 1e-5 * exact.abs().max(1.0), "{sum} is not {exact}");
                    }
                }
            }
        }
    }
}
