//! The k best of many candidates.

use std::{cmp::Ordering, collections::BinaryHeap};

/// A position and how far it is; the nearer is the smaller, and of equal ones the lower position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) distance: f32,
    pub(crate) position: u32,
}

impl Eq for Candidate {}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.distance.total_cmp(&other.distance).then(self.position.cmp(&other.position))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The k nearest of what was offered: a heap with the farthest on top.
#[derive(Debug)]
pub(crate) struct Nearest {
    k: usize,
    heap: BinaryHeap<Candidate>,
}

impl Nearest {
    /// Of at most `k`, at least 1, of which there will be no more than `offered`.
    pub(crate) fn new(k: usize, offered: usize) -> Self {
        Self { k, heap: BinaryHeap::with_capacity(k.min(offered)) }
    }

    pub(crate) fn offer(&mut self, candidate: Candidate) {
        if self.heap.len() < self.k {
            self.heap.push(candidate);
        } else if let Some(mut farthest) = self.heap.peek_mut()
            && candidate < *farthest
        {
            *farthest = candidate;
        }
    }

    /// Nearest first.
    pub(crate) fn into_sorted(self) -> Vec<Candidate> {
        self.heap.into_sorted_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_are_kept_in_order() {
        let mut nearest = Nearest::new(3, 100);
        for (position, distance) in [(9, 2.0), (4, 1.0), (7, 2.0), (1, 3.0), (3, 2.0)] {
            nearest.offer(Candidate { distance, position });
        }
        let found: Vec<_> = nearest.into_sorted().iter().map(|found| (found.position, found.distance)).collect();
        assert_eq!(found, [(4, 1.0), (3, 2.0), (7, 2.0)]);
    }
}
