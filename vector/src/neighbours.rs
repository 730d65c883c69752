//! The answer to a search.

/// The nearest vectors of one or more queries: for each query its neighbours, nearest first. Equal distances: the lower position first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Neighbours {
    /// Where each query's neighbours begin in the two lists below, and one more entry: where they end.
    pub offsets: Vec<usize>,
    /// Positions in the index.
    pub positions: Vec<u32>,
    /// Distances by the index's metric, as [`crate::Metric`] defines them.
    pub distances: Vec<f32>,
}

impl Neighbours {
    /// Of no queries.
    pub fn new() -> Self {
        Self { offsets: vec![0], ..Self::default() }
    }

    /// How many queries were answered.
    pub fn queries(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// The neighbours of one query, nearest first; none for a query that was not asked.
    pub fn of(&self, query: usize) -> impl ExactSizeIterator<Item = (u32, f32)> + '_ {
        let at = |query: usize| self.offsets.get(query).copied().unwrap_or(self.positions.len());
        let range = at(query)..at(query + 1);
        self.positions[range.clone()].iter().copied().zip(self.distances[range].iter().copied())
    }

    /// Appends the neighbours of one more query.
    pub fn push(&mut self, neighbours: impl IntoIterator<Item = (u32, f32)>) {
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        for (position, distance) in neighbours {
            self.positions.push(position);
            self.distances.push(distance);
        }
        self.offsets.push(self.positions.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_query_has_its_own() {
        let mut found = Neighbours::new();
        found.push([(7, 0.5), (1, 0.75)]);
        found.push([]);
        found.push([(2, 0.0)]);
        assert_eq!(found.queries(), 3);
        assert_eq!(found.of(0).collect::<Vec<_>>(), [(7, 0.5), (1, 0.75)]);
        assert_eq!(found.of(1).len(), 0);
        assert_eq!(found.of(2).collect::<Vec<_>>(), [(2, 0.0)]);
        assert_eq!(found.of(3).len(), 0);
    }
}
