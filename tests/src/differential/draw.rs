//! Seeded draws.

/// A seeded stream of random numbers; the same on every machine.
pub struct Draw(fastrand::Rng);

impl Draw {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Draw(fastrand::Rng::with_seed(seed))
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.u64(0..bound)
    }

    /// A number of a range that is not empty.
    pub fn range(&mut self, range: std::ops::Range<u64>) -> u64 {
        self.0.u64(range)
    }

    /// Whether one of `denominator` equal chances is among the first `numerator`.
    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }

    /// One of the items; there is one.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.0.usize(0..items.len())]
    }

    /// Any order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        self.0.shuffle(items);
    }
}
