//! Time as a value. The core never reads a clock (L1): drivers pass microseconds in with every poll, and commits are
//! stamped by a hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014) kept in one `u64`.

use std::fmt;

/// Microseconds since the Unix epoch, as the driver's clock has it.
pub type Micros = u64;

/// A hybrid logical clock reading: microseconds since the Unix epoch << 12 | counter. It passes `i64` in 2041, so it is
/// never shown as a bigint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

/// Bits of the counter within one microsecond.
const COUNTER_BITS: u32 = 12;

impl Timestamp {
    /// Before everything.
    pub const ZERO: Timestamp = Timestamp(0);
    /// After everything.
    pub const MAX: Timestamp = Timestamp(u64::MAX);

    /// The first timestamp of this microsecond.
    pub fn from_micros(micros: Micros) -> Self {
        Timestamp(micros << COUNTER_BITS)
    }

    /// The microsecond it lies in.
    pub fn micros(self) -> Micros {
        self.0 >> COUNTER_BITS
    }

    /// The next one.
    #[must_use]
    pub fn next(self) -> Self {
        Timestamp(self.0 + 1)
    }

    /// The next reading of a clock that last gave `self`, when the wall says `now`: never below the wall, never back.
    #[must_use]
    pub fn tick(self, now: Micros) -> Self {
        self.next().max(Timestamp::from_micros(now))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.micros(), self.0 & ((1 << COUNTER_BITS) - 1))
    }
}
