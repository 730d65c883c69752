//! From single times to percentiles.

use std::time::Duration;

use crate::evaluation::Latency;

/// The percentiles of how long single searches took, by the nearest rank: the smallest time that at least that share of all do not exceed. Zero for none.
pub fn latency(mut times: Vec<Duration>) -> Latency {
    times.sort_unstable();
    let at = |percent: usize| {
        let rank = (times.len() * percent).div_ceil(100);
        let time = times.get(rank.saturating_sub(1)).copied().unwrap_or_default();
        // Clocks are not finer than some ten nanoseconds.
        (time.as_secs_f64() * 1e8).round() / 100.0
    };
    Latency { p50_us: at(50), p95_us: at(95), p99_us: at(99) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranks_are_counted_from_one() {
        let times = |count: u64| (1..=count).rev().map(Duration::from_micros).collect::<Vec<_>>();
        assert_eq!(latency(times(100)), Latency { p50_us: 50.0, p95_us: 95.0, p99_us: 99.0 });
        assert_eq!(latency(times(3)), Latency { p50_us: 2.0, p95_us: 3.0, p99_us: 3.0 });
        assert_eq!(latency(times(1)), Latency { p50_us: 1.0, p95_us: 1.0, p99_us: 1.0 });
        assert_eq!(latency(Vec::new()), Latency::default());
    }

    proptest! {
        #[test]
        fn percentiles_ascend_and_are_times_that_were_measured(micros in proptest::collection::vec(0_u32..1_000_000, 1..300)) {
            let found = latency(micros.iter().map(|time| Duration::from_micros(u64::from(*time))).collect());
            prop_assert!(found.p50_us <= found.p95_us && found.p95_us <= found.p99_us);
            for time in [found.p50_us, found.p95_us, found.p99_us] {
                prop_assert!(micros.iter().any(|measured| f64::from(*measured) == time), "{time}");
            }
        }
    }
}
