//! One ranking of two.

use std::collections::HashMap;

use super::{
    super::{nearest::Found, standing::Row},
    arguments::Fusion,
    hits::Hit,
};

/// A row of either ranking: its rank from 1, and its distance or score.
#[derive(Debug, Clone, Copy, Default)]
struct Ranked {
    near: Option<(usize, f32)>,
    matching: Option<(usize, f32)>,
}

/// Fuses the nearest rows (the least distance first) and those that match best (the highest score first) into the best `k`. Of equal ones that which is nearer
/// comes first, and then that which matches better.
pub(super) fn fused(near: &[Found], matching: &[Found], fusion: Fusion, k: usize) -> Vec<Hit> {
    let mut rows: HashMap<Row, Ranked> = HashMap::with_capacity(near.len() + matching.len());
    for (rank, (row, distance)) in (1..).zip(near) {
        rows.entry(*row).or_default().near = Some((rank, *distance));
    }
    for (rank, (row, score)) in (1..).zip(matching) {
        rows.entry(*row).or_default().matching = Some((rank, *score));
    }
    let nearness = Scale::of(near.iter().map(|(_, distance)| -distance));
    let strength = Scale::of(matching.iter().map(|(_, score)| *score));
    let mut all: Vec<(f64, Row, Ranked)> = rows
        .into_iter()
        .map(|(row, ranked)| {
            let score = match fusion {
                Fusion::Reciprocal { k, weight } => {
                    let share = |rank: Option<(usize, f32)>| rank.map_or(0.0, |(rank, _)| 1.0 / (k + small(rank)));
                    weight * share(ranked.near) + (1.0 - weight) * share(ranked.matching)
                }
                Fusion::Weighted { weight } => {
                    let near = ranked.near.map_or(0.0, |(_, distance)| nearness.share(-distance));
                    let matching = ranked.matching.map_or(0.0, |(_, score)| strength.share(score));
                    weight * near + (1.0 - weight) * matching
                }
            };
            (score, row, ranked)
        })
        .collect();
    let rank = |ranked: Option<(usize, f32)>| ranked.map_or(usize::MAX, |(rank, _)| rank);
    all.sort_by(|(score, row, ranked), (other_score, other_row, other)| {
        let places = (rank(ranked.near), rank(ranked.matching), row);
        other_score.total_cmp(score).then_with(|| places.cmp(&(rank(other.near), rank(other.matching), other_row)))
    });
    all.truncate(k);
    let hit = |(score, row, ranked): (f64, Row, Ranked)| {
        #[allow(clippy::cast_possible_truncation, reason = "scores are 32-bit numbers")]
        let score = score as f32;
        let of = |ranked: Option<(usize, f32)>| ranked.map(|(_, number)| number);
        Hit { row, scores: [Some(score), of(ranked.near), of(ranked.matching)] }
    };
    all.into_iter().map(hit).collect()
}

fn small(rank: usize) -> f64 {
    f64::from(u32::try_from(rank).unwrap_or(u32::MAX))
}

/// Brings numbers to 0..1: the least to 0, the largest to 1; all to 1 when they are the same.
struct Scale {
    least: f32,
    width: f32,
}

impl Scale {
    fn of(numbers: impl Iterator<Item = f32>) -> Self {
        let (mut least, mut most) = (f32::INFINITY, f32::NEG_INFINITY);
        for number in numbers {
            least = least.min(number);
            most = most.max(number);
        }
        Self { least, width: most - least }
    }

    fn share(&self, number: f32) -> f64 {
        if self.width > 0.0 { f64::from((number - self.least) / self.width) } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use skein_model::FileId;

    use super::*;

    const RRF: Fusion = Fusion::Reciprocal { k: 60.0, weight: 0.5 };

    fn rows() -> [Row; 4] {
        let file = FileId::generate();
        [0, 1, 2, 3].map(|row| Row { file, row })
    }

    fn order(hits: &[Hit]) -> Vec<u32> {
        hits.iter().map(|hit| hit.row.row).collect()
    }

    #[test]
    fn what_both_find_comes_before_what_one_finds() {
        let [a, b, c, d] = rows();
        let near = [(a, 0.1), (b, 0.2), (c, 0.3)];
        let matching = [(d, 9.0), (c, 5.0)];
        let all = fused(&near, &matching, RRF, 10);
        assert_eq!(order(&all), [2, 0, 3, 1]);
        assert_eq!(all[0].scores[1..], [Some(0.3), Some(5.0)]);
        assert_eq!(all[2].scores[1..], [None, Some(9.0)]);
        let expected = 0.5 / 63.0 + 0.5 / 62.0;
        assert!((f64::from(all[0].scores[0].unwrap()) - expected).abs() < 1e-7);
        assert_eq!(fused(&near, &matching, RRF, 2).len(), 2);
    }

    #[test]
    fn a_weight_of_one_side_leaves_its_ranking() {
        let [a, b, c, d] = rows();
        let near = [(a, 0.1), (b, 0.2), (c, 0.3)];
        let matching = [(d, 9.0), (c, 5.0)];
        for fusion in [Fusion::Reciprocal { k: 60.0, weight: 1.0 }, Fusion::Weighted { weight: 1.0 }] {
            assert_eq!(order(&fused(&near, &matching, fusion, 2)), [0, 1], "{fusion:?}");
        }
        assert_eq!(order(&fused(&near, &matching, Fusion::Weighted { weight: 0.0 }, 1)), [3]);
    }

    #[test]
    fn equal_numbers_are_all_the_best() {
        let [a, b, ..] = rows();
        let all = fused(&[(a, 0.5), (b, 0.5)], &[], Fusion::Weighted { weight: 0.5 }, 5);
        assert_eq!((order(&all), all[1].scores[0]), (vec![0, 1], Some(0.5)));
        assert!(fused(&[], &[], RRF, 5).is_empty());
    }
}
