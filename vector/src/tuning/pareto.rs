//! The Pareto front: measurements that no other one beats in everything.

use super::Measured;

/// For each measurement whether it is on the front of recall (up), latency at p50 (down) and memory (down): no other one is at least as good in all three and
/// better in one. Equal ones are on it together.
///
/// Sorted by memory first, a measurement need only be compared with those before it (Kung, Luccio and Preparata, 1975, have the rest of the way to
/// n log n; there are at most some thousand here).
pub fn front(all: &[Measured]) -> Vec<bool> {
    let mut order: Vec<usize> = (0..all.len()).collect();
    let key = |at: &usize| all.get(*at).copied().unwrap_or_default();
    order.sort_by(|a, b| {
        let (a, b) = (key(a), key(b));
        let by_memory = a.memory_bytes.cmp(&b.memory_bytes);
        by_memory.then(a.p50_us.total_cmp(&b.p50_us)).then(b.recall.total_cmp(&a.recall))
    });
    let mut on_front = vec![false; all.len()];
    let mut best: Vec<Measured> = Vec::new();
    for at in order {
        let this = key(&at);
        if !best.iter().any(|other| beats(other, &this)) {
            best.push(this);
            if let Some(flag) = on_front.get_mut(at) {
                *flag = true;
            }
        }
    }
    on_front
}

/// Whether one is at least as good in everything and better in something.
fn beats(one: &Measured, other: &Measured) -> bool {
    let no_worse = one.recall >= other.recall && one.p50_us <= other.p50_us && one.memory_bytes <= other.memory_bytes;
    no_worse && one != other
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn measured(recall: f64, p50_us: f64, memory_bytes: u64) -> Measured {
        Measured { recall, p50_us, memory_bytes }
    }

    #[test]
    fn what_another_one_beats_in_everything_is_not_on_the_front() {
        let all = [
            measured(0.99, 100.0, 400),
            measured(0.95, 50.0, 400),
            measured(0.95, 60.0, 400),
            measured(0.90, 200.0, 100),
            measured(0.99, 100.0, 400),
            measured(0.89, 200.0, 100),
        ];
        assert_eq!(front(&all), [true, true, false, true, true, false]);
        assert_eq!(front(&[]), [false; 0]);
    }

    fn some() -> impl Strategy<Value = Vec<Measured>> {
        // Few values, so that many are equal.
        let one = (0_u8..6, 1_u8..6, 1_u8..6)
            .prop_map(|(recall, p50, memory)| measured(f64::from(recall) / 5.0, f64::from(p50), u64::from(memory)));
        proptest::collection::vec(one, 0..40)
    }

    proptest! {
        #[test]
        fn it_is_what_comparing_all_with_all_finds(all in some()) {
            let found = front(&all);
            for (at, this) in all.iter().enumerate() {
                prop_assert_eq!(found[at], !all.iter().any(|other| beats(other, this)));
            }
            prop_assert!(all.is_empty() || found.contains(&true));
        }

        #[test]
        fn it_does_not_depend_on_the_order(all in some()) {
            let mut backwards: Vec<_> = all.clone();
            backwards.reverse();
            let mut found = front(&backwards);
            found.reverse();
            prop_assert_eq!(front(&all), found);
        }
    }
}
