//! Clocks and medians. CPU time of the whole process (all threads) is what rows compare; wall time only where a disk or
//! other writers are part of the question.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Measure Orrery alone: for profiles.
pub static OURS_ONLY: AtomicBool = AtomicBool::new(false);

/// CPU nanoseconds this process has used, all threads.
#[allow(unsafe_code, reason = "one libc call that fills a struct on our stack")]
pub fn cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid, writable timespec; the clock id is a constant that every Linux has.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(status, 0, "the process clock is always there");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// What one run of something took.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// CPU nanoseconds.
    pub cpu_ns: f64,
    /// Wall nanoseconds.
    pub wall_ns: f64,
}

/// Runs `work` once and says what it took per unit.
pub fn per_unit(units: u64, work: impl FnOnce()) -> Cost {
    let (cpu, wall) = (cpu_ns(), Instant::now());
    work();
    let (cpu, wall) = (cpu_ns() - cpu, wall.elapsed().as_nanos());
    Cost { cpu_ns: cpu as f64 / units as f64, wall_ns: wall as f64 / units as f64 }
}

/// The median.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[len / 2],
        len => (values[len / 2 - 1] + values[len / 2]) / 2.0,
    }
}

/// Runs every contender once a round, for `rounds` rounds, and gives each one's median CPU cost: interleaved, so that a
/// noisy moment hits all of them.
pub fn interleaved(
    rounds: usize,
    contenders: &mut [(&'static str, &mut dyn FnMut() -> Cost)],
) -> Vec<(&'static str, Cost)> {
    let contenders = if OURS_ONLY.load(Ordering::Relaxed) { &mut contenders[..1] } else { contenders };
    let mut costs = vec![Vec::new(); contenders.len()];
    for _ in 0..rounds {
        for (contender, costs) in contenders.iter_mut().zip(&mut costs) {
            costs.push((contender.1)());
        }
    }
    contenders
        .iter()
        .zip(costs)
        .map(|(contender, costs)| {
            let mut cpu: Vec<_> = costs.iter().map(|cost| cost.cpu_ns).collect();
            let mut wall: Vec<_> = costs.iter().map(|cost| cost.wall_ns).collect();
            (contender.0, Cost { cpu_ns: median(&mut cpu), wall_ns: median(&mut wall) })
        })
        .collect()
}

/// A small generator for keys: the same sequence for every contender.
pub struct Keys(u64);

impl Keys {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Keys(seed)
    }

    /// Uniform in `0..bound` (splitmix64).
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((u128::from(mixed) * u128::from(bound)) >> 64) as u64
    }
}

/// Column `a` of row `id`.
pub fn a_of(id: i64) -> i32 {
    (id.wrapping_mul(2_654_435_761) % 1_000_003) as i32
}

/// Column `b` of row `id`: 100 bytes of text. Cheap, as it is made while the clock runs, for all contenders alike.
pub fn b_of(id: i64) -> String {
    let mut text = [b'0'; 100];
    let (mut rest, mut at) = (id, text.len());
    while rest > 0 {
        at -= 1;
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    str::from_utf8(&text).expect("digits").to_owned()
}
