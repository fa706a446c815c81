//! Changes of bytes: bits, bytes, numbers, ranges.

use orrery_base::rng::Rng;

/// Numbers that sit at the edges of what code assumes.
const EDGES: [u64; 14] = [
    0,
    1,
    2,
    0x7f,
    0xff,
    0x100,
    0x7fff,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

/// Changes `bytes` in one to six places. Half of the changes lie in the first `head` bytes, where the fields are.
pub fn bytes(bytes: &mut [u8], head: usize, rng: &mut Rng) {
    for _ in 0..=rng.below(6) {
        one(bytes, head, rng);
    }
}

fn one(bytes: &mut [u8], head: usize, rng: &mut Rng) {
    if bytes.is_empty() {
        return;
    }
    let end = if rng.chance(1, 2) { head.clamp(1, bytes.len()) } else { bytes.len() };
    let at = rng.below(end as u64) as usize;
    match rng.below(8) {
        0 | 1 => bytes[at] ^= 1 << rng.below(8),
        2 => bytes[at] = rng.next_u64() as u8,
        3 => number(bytes, at, rng, |rng, _| *rng.pick(&EDGES)),
        // A length or a place that is a little off.
        4 => number(bytes, at, rng, |rng, old| old.wrapping_add(rng.below(33)).wrapping_sub(16)),
        5 => number(bytes, at, rng, |rng, _| rng.next_u64()),
        6 => {
            let len = rng.below(64).min((bytes.len() - at) as u64) as usize;
            let value = if rng.chance(1, 2) { 0 } else { 0xff };
            bytes[at..at + len].fill(value);
        }
        _ => {
            let len = 1 + rng.below(64).min((bytes.len() - at - 1) as u64) as usize;
            let from = rng.below((bytes.len() - len + 1) as u64) as usize;
            bytes.copy_within(from..from + len, at);
        }
    }
}

/// Changes the little-endian number of 1, 2, 4 or 8 bytes at `at`, moved to where such a number would begin.
fn number(bytes: &mut [u8], at: usize, rng: &mut Rng, change: impl FnOnce(&mut Rng, u64) -> u64) {
    let width = 1 << rng.below(4);
    let at = at / width * width;
    let Some(place) = bytes.get_mut(at..at + width) else { return };
    let mut old = [0; 8];
    old[..width].copy_from_slice(place);
    let new = change(rng, u64::from_le_bytes(old)).to_le_bytes();
    place.copy_from_slice(&new[..width]);
}
