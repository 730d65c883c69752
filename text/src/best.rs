//! The best of what was found so far.

use std::{cmp::Ordering, collections::BinaryHeap};

/// A text that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Where it is in the index.
    pub position: u32,
    /// How well it matches by BM25, higher is better. Scores of one query compare, those of different queries do not.
    pub score: f32,
}

/// The k best hits, of those that are offered in the order of their positions.
pub(crate) struct Best {
    k: usize,
    /// The worst on top.
    heap: BinaryHeap<Ranked>,
}

impl Best {
    pub fn new(k: usize) -> Self {
        Self { k, heap: BinaryHeap::new() }
    }

    /// The score that one has to be above to get in.
    pub fn bar(&self) -> f32 {
        match self.heap.peek() {
            Some(worst) if self.heap.len() >= self.k => worst.0.score,
            _ => f32::MIN,
        }
    }

    pub fn offer(&mut self, hit: Hit) {
        if self.heap.len() < self.k {
            self.heap.push(Ranked(hit));
        } else if let Some(mut worst) = self.heap.peek_mut()
            && Ranked(hit) < *worst
        {
            *worst = Ranked(hit);
        }
    }

    /// Highest score first, equal ones by position.
    pub fn into_hits(self) -> Vec<Hit> {
        self.heap.into_sorted_vec().into_iter().map(|ranked| ranked.0).collect()
    }
}

/// Ordered from the best to the worst.
struct Ranked(Hit);

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.score.total_cmp(&self.0.score).then(self.0.position.cmp(&other.0.position))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_kept_and_of_equal_ones_the_first() {
        let mut best = Best::new(3);
        assert_eq!(best.bar(), f32::MIN);
        for (position, score) in [(0, 1.0), (1, 3.0), (2, 2.0), (3, 2.0), (4, 0.5), (5, 3.0)] {
            best.offer(Hit { position, score });
        }
        assert_eq!(best.bar(), 2.0);
        let positions: Vec<_> = best.into_hits().iter().map(|hit| hit.position).collect();
        assert_eq!(positions, [1, 5, 2]);
    }
}
