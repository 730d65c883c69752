//! Which configuration is taken, and whether it is worth the change.

/// What counts of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measured {
    /// Of the nearest rows, the share that is found, 0 to 1.
    pub recall: f64,
    /// Half of the searches take no longer than so many microseconds.
    pub p50_us: f64,
    /// Memory that the index takes.
    pub memory_bytes: u64,
}

/// By what share a configuration must be better than the live one to take its place. The p50 of the same index, measured twice in a row on a machine with other work,
/// differs by some hundredths, seldom by more than a tenth; a change that is within that would be made back and forth, and each costs a build.
pub const MARGIN: f64 = 0.1;

/// The one to take: of those whose recall is at least the floor the one with the lowest p50; of equal ones that with less memory, and then that with more recall, and then the first.
/// `None`: no one reaches the floor.
pub fn choose(all: &[Measured], recall_floor: f64) -> Option<usize> {
    let reach = all.iter().enumerate().filter(|(_, one)| one.recall >= recall_floor);
    let best = reach.min_by(|(_, a), (_, b)| {
        let by_time = a.p50_us.total_cmp(&b.p50_us);
        by_time.then(a.memory_bytes.cmp(&b.memory_bytes)).then(b.recall.total_cmp(&a.recall))
    });
    best.map(|(at, _)| at)
}

/// Whether the one that was chosen takes the live one's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// There is no live one.
    First,
    /// The live one does not reach the floor, this one does.
    Recall,
    /// It answers faster, by more than the margin.
    Faster,
    /// It answers about as fast, and takes less memory by more than the margin.
    Smaller,
    /// It does not reach the floor.
    BelowFloor,
    /// It is not better by more than the margin.
    NotBetter,
}

impl Verdict {
    /// Whether it takes the place.
    pub const fn promotes(self) -> bool {
        matches!(self, Self::First | Self::Recall | Self::Faster | Self::Smaller)
    }

    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "no generation was live",
            Self::Recall => "the live generation does not reach the recall floor, and this does",
            Self::Faster => {
                "it reaches the recall floor and answers faster than the live generation by more than a tenth"
            }
            Self::Smaller => {
                "it reaches the recall floor, answers as fast as the live generation, and takes less memory by more than a tenth"
            }
            Self::BelowFloor => "it does not reach the recall floor",
            Self::NotBetter => {
                "it is not better than the live generation by more than a tenth, neither in latency nor in memory"
            }
        }
    }
}

/// Judges one that is to take the place of `live`.
pub fn judge(chosen: &Measured, live: Option<&Measured>, recall_floor: f64) -> Verdict {
    if chosen.recall < recall_floor {
        return Verdict::BelowFloor;
    }
    let Some(live) = live else { return Verdict::First };
    if live.recall < recall_floor {
        return Verdict::Recall;
    }
    if chosen.p50_us < live.p50_us * (1.0 - MARGIN) {
        return Verdict::Faster;
    }
    #[allow(clippy::cast_precision_loss, reason = "sizes that are compared with a margin")]
    let (mine, its) = (chosen.memory_bytes as f64, live.memory_bytes as f64);
    let as_fast = chosen.p50_us <= live.p50_us * (1.0 + MARGIN / 2.0);
    if as_fast && mine < its * (1.0 - MARGIN) { Verdict::Smaller } else { Verdict::NotBetter }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn measured(recall: f64, p50_us: f64, memory_bytes: u64) -> Measured {
        Measured { recall, p50_us, memory_bytes }
    }

    #[test]
    fn recall_comes_first_then_latency_then_memory() {
        let all = [measured(0.94, 1.0, 1), measured(0.99, 9.0, 1), measured(0.96, 5.0, 9), measured(0.96, 5.0, 8)];
        assert_eq!(choose(&all, 0.95), Some(3));
        assert_eq!(choose(&all, 0.97), Some(1));
        assert_eq!(choose(&all, 0.995), None);
        assert_eq!(choose(&[], 0.0), None);
    }

    #[test]
    fn the_live_one_stays_unless_the_other_is_clearly_better() {
        let live = measured(0.97, 100.0, 1_000);
        let judged = |chosen: Measured| judge(&chosen, Some(&live), 0.95);
        assert_eq!(judged(measured(0.96, 89.0, 9_000)), Verdict::Faster);
        assert_eq!(judged(measured(1.0, 91.0, 1_000)), Verdict::NotBetter);
        assert_eq!(judged(measured(0.96, 104.0, 800)), Verdict::Smaller);
        assert_eq!(judged(measured(0.96, 110.0, 100)), Verdict::NotBetter);
        assert_eq!(judged(measured(0.94, 1.0, 1)), Verdict::BelowFloor);
        assert_eq!(judge(&measured(0.96, 500.0, 9_000), Some(&measured(0.9, 1.0, 1)), 0.95), Verdict::Recall);
        assert_eq!(judge(&live, None, 0.95), Verdict::First);
        assert!(!judged(live).promotes(), "the same again");
    }

    fn one() -> impl Strategy<Value = Measured> {
        (0_u8..=10, 1_u16..50, 1_u16..50)
            .prop_map(|(recall, p50, memory)| measured(f64::from(recall) / 10.0, f64::from(p50), u64::from(memory)))
    }

    proptest! {
        #[test]
        fn nothing_that_reaches_the_floor_is_faster_than_the_chosen(all in proptest::collection::vec(one(), 0..30), floor in 0_u8..=10) {
            let floor = f64::from(floor) / 10.0;
            match choose(&all, floor) {
                None => prop_assert!(all.iter().all(|one| one.recall < floor)),
                Some(at) => {
                    prop_assert!(all[at].recall >= floor);
                    prop_assert!(all.iter().all(|one| one.recall < floor || one.p50_us >= all[at].p50_us));
                    prop_assert!(super::super::front(&all)[at]);
                }
            }
        }

        #[test]
        fn two_never_take_each_others_place(a in one(), b in one(), floor in 0_u8..=10) {
            let floor = f64::from(floor) / 10.0;
            prop_assert!(!(judge(&a, Some(&b), floor).promotes() && judge(&b, Some(&a), floor).promotes()));
        }

        #[test]
        fn what_is_promoted_reaches_the_floor_and_is_not_much_slower_unless_recall_asks_for_it(a in one(), b in one(), floor in 0_u8..=10) {
            let floor = f64::from(floor) / 10.0;
            let verdict = judge(&a, Some(&b), floor);
            if verdict.promotes() {
                prop_assert!(a.recall >= floor);
                prop_assert!(verdict == Verdict::Recall || a.p50_us <= b.p50_us * (1.0 + MARGIN / 2.0));
            }
        }
    }
}
