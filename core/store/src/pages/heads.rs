//! The array of 8-byte key heads at the front of leaves and inner pages, and the search in it.
//!
//! A head is the first eight bytes of a key's suffix (behind the page's common prefix), zero-padded. Heads lie in the
//! page as those very bytes, so they are read as big-endian numbers and compare like the keys: a smaller head is a
//! smaller key, and only among equal heads must whole suffixes be compared. A suffix of up to eight bytes has no other
//! copy in the page.

use std::cmp::Ordering;

/// Bytes of a head.
pub const HEAD_BYTES: usize = 8;

/// The head of a suffix.
#[inline]
pub fn head_of(suffix: &[u8]) -> u64 {
    match suffix.first_chunk::<8>() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => {
            let mut bytes = [0; 8];
            bytes[..suffix.len()].copy_from_slice(suffix);
            u64::from_be_bytes(bytes)
        }
    }
}

/// How a search key stands to a page whose keys all begin with `prefix`.
#[inline]
pub fn against_prefix<'k>(key: &'k [u8], prefix: &[u8]) -> Result<&'k [u8], Ordering> {
    match key.strip_prefix(prefix) {
        Some(suffix) => Ok(suffix),
        None => Err(key.cmp(prefix)),
    }
}

/// The first index whose head is not below `wanted` in ascending `heads` (big-endian bytes).
///
/// Interpolates from both ends first: keys are often evenly spaced (ids, hashes), and a good guess touches one or two
/// cache lines where halving touches six. Whatever the guesses left is halved without branches.
#[inline]
pub fn lower_bound(heads: &[[u8; 8]], wanted: u64) -> usize {
    let at = |index: usize| u64::from_be_bytes(heads[index]);
    let count = heads.len();
    if count <= 8 {
        return halve(heads, 0, count, wanted);
    }
    let (first, last) = (at(0), at(count - 1));
    if wanted <= first {
        return 0;
    }
    if wanted > last {
        return count;
    }
    // first < wanted <= last, so the quotient is in 0..count - 1 (32 bits of the distance are plenty for a guess).
    let shift = 64 - (last - first).leading_zeros().min(32) - 32;
    let guess = ((wanted - first) >> shift) * (count as u64 - 1) / ((last - first) >> shift).max(1);
    let guess = (guess as usize).min(count - 1);
    // Gallop from the guess; heads[low] < wanted <= heads[high] brackets the answer.
    let (mut low, mut high, mut step);
    if at(guess) < wanted {
        (low, step) = (guess, 2);
        high = (guess + step).min(count - 1);
        while at(high) < wanted {
            low = high;
            step *= 4;
            high = (high + step).min(count - 1);
        }
    } else {
        (high, step) = (guess, 2);
        low = guess.saturating_sub(step);
        while low > 0 && at(low) >= wanted {
            high = low;
            step *= 4;
            low = low.saturating_sub(step);
        }
    }
    halve(heads, low, high, wanted)
}

/// Branch-free halving in `low..high`; answers `high` where all are below.
#[inline]
fn halve(heads: &[[u8; 8]], low: usize, high: usize, wanted: u64) -> usize {
    let (mut base, mut size) = (low, high - low);
    while size > 0 {
        let half = size.div_ceil(2);
        let below = u64::from_be_bytes(heads[base + half - 1]) < wanted;
        base += if below { half } else { 0 };
        size -= half;
    }
    base
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_base::rng::Rng;

    #[test]
    fn agrees_with_a_plain_search() {
        let mut rng = Rng::new(3);
        for round in 0..3000 {
            let count = rng.below(300) as usize;
            let spread = [1, 3, 300, 1 << 20, 1 << 40, u64::MAX][round % 6];
            let offset = if spread == u64::MAX { 0 } else { rng.below(1 << 40) };
            let mut numbers: Vec<u64> = (0..count).map(|_| offset + rng.below(spread)).collect();
            if round % 5 == 0 {
                numbers.push(u64::MAX);
                numbers.push(0);
            }
            numbers.sort_unstable();
            let heads: Vec<[u8; 8]> = numbers.iter().map(|number| number.to_be_bytes()).collect();
            for _ in 0..20 {
                let wanted = match numbers.is_empty() || rng.chance(1, 3) {
                    true => rng.next_u64(),
                    false => rng.pick(&numbers).wrapping_add(rng.below(3)).wrapping_sub(1),
                };
                let expected = numbers.partition_point(|&number| number < wanted);
                assert_eq!(lower_bound(&heads, wanted), expected, "{wanted} in {numbers:?}");
            }
        }
    }

    #[test]
    fn heads_order_like_keys() {
        let keys: [&[u8]; 7] = [b"", b"\0", b"a", b"a\0", b"ab", b"abcdefgh", b"abcdefghi"];
        for pair in keys.windows(2) {
            assert!(head_of(pair[0]) <= head_of(pair[1]), "{pair:?}");
        }
    }
}
