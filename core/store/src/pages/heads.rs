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

/// The head of the last `suffix_len` bytes of `key`: as [`head_of`], in one load for keys of eight bytes and more.
#[inline]
pub fn head_of_end(key: &[u8], suffix_len: usize) -> u64 {
    let start = key.len() - suffix_len;
    if let Some(bytes) = key[start..].first_chunk::<8>() {
        return u64::from_be_bytes(*bytes);
    }
    match key.last_chunk::<8>() {
        Some(_) if suffix_len == 0 => 0,
        Some(bytes) => u64::from_be_bytes(*bytes) << (64 - 8 * suffix_len),
        None => key[start..].iter().rev().fold(0, |head, &byte| head >> 8 | u64::from(byte) << 56),
    }
}

/// How two suffixes with the same head compare.
#[inline]
pub fn compare_same_head(one: &[u8], other: &[u8]) -> Ordering {
    match one.len() > HEAD_BYTES && other.len() > HEAD_BYTES {
        true => one[HEAD_BYTES..].cmp(&other[HEAD_BYTES..]),
        // Up to eight bytes, padded with zeros to the same: the shorter one is a prefix of the other.
        false => one.len().cmp(&other.len()),
    }
}

/// How a search key stands to a page whose keys all begin with `prefix`.
#[inline]
pub fn against_prefix<'k>(key: &'k [u8], prefix: &[u8]) -> Result<&'k [u8], Ordering> {
    if prefix.is_empty() {
        return Ok(key);
    }
    // Prefixes are short: a call of memcmp would take longer than most comparisons.
    if let (Some(start), true) = (key.get(..prefix.len()), prefix.len() <= 16) {
        let differs = start.iter().zip(prefix).fold(0, |differs, (one, other)| differs | (one ^ other));
        if differs == 0 {
            return Ok(&key[prefix.len()..]);
        }
    }
    match key.strip_prefix(prefix) {
        Some(suffix) => Ok(suffix),
        None => Err(key.cmp(prefix)),
    }
}

/// Half of the window that is searched around a guess.
const WINDOW: usize = 4;

/// The first index whose head is not below `wanted` in ascending `heads` (big-endian bytes), whose ends are given.
///
/// Guesses by interpolation between both ends first: keys are often evenly spaced (ids, hashes), and a good guess touches
/// one or two cache lines where halving touches six. The window around the guess, or on a bad guess the whole, is halved
/// without branches on the data, so that the processor can go on to the next read meanwhile.
#[inline]
pub fn lower_bound(heads: &[[u8; 8]], (first, last): (u64, u64), wanted: u64) -> usize {
    let at = |index: usize| u64::from_be_bytes(heads[index]);
    let count = heads.len();
    if count > 4 * WINDOW {
        if wanted <= first {
            return 0;
        }
        if wanted > last {
            return count;
        }
        // first < wanted <= last, so the quotient is in 0..count (32 bits of the distance are plenty for a guess).
        let shift = 32 - (last - first).leading_zeros().min(32);
        let guess = ((wanted - first) >> shift) * (count as u64 - 1) / ((last - first) >> shift).max(1);
        // Often exact for ids; a right prediction of this branch lets what follows begin before the head has come.
        let guess = (guess as usize).min(count - 1);
        if at(guess) == wanted && guess > 0 && at(guess - 1) < wanted {
            return guess;
        }
        let low = guess.clamp(WINDOW, count - 1 - WINDOW) - WINDOW;
        let high = low + 2 * WINDOW;
        // One jump to the left or right when the answer lies outside of the window.
        if (low == 0 || at(low - 1) < wanted) && (high == count || at(high) >= wanted) {
            return halve(heads, low, high, wanted);
        }
        return match at(low) < wanted {
            true => halve(heads, low + 1, count, wanted),
            false => halve(heads, 0, low, wanted),
        };
    }
    halve(heads, 0, count, wanted)
}

/// Halving in `low..high` without branches on the data; answers `high` where all are below.
#[inline]
fn halve(heads: &[[u8; 8]], low: usize, high: usize, wanted: u64) -> usize {
    let (mut base, mut size) = (low, high - low);
    while size > 0 {
        let half = size.div_ceil(2);
        let below = u64::from_be_bytes(heads[base + half - 1]) < wanted;
        base += half * usize::from(below);
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
            let edges = (numbers.first().copied().unwrap_or(0), numbers.last().copied().unwrap_or(0));
            for _ in 0..20 {
                let wanted = match numbers.is_empty() || rng.chance(1, 3) {
                    true => rng.next_u64(),
                    false => rng.pick(&numbers).wrapping_add(rng.below(3)).wrapping_sub(1),
                };
                let expected = numbers.partition_point(|&number| number < wanted);
                assert_eq!(lower_bound(&heads, edges, wanted), expected, "{wanted} in {numbers:?}");
            }
        }
    }

    #[test]
    fn heads_of_ends() {
        let key = b"abcdefghijkl";
        for len in 0..=key.len() {
            assert_eq!(head_of_end(key, len), head_of(&key[key.len() - len..]));
            assert_eq!(head_of_end(&key[..len], len), head_of(&key[..len]));
        }
        assert_eq!(compare_same_head(b"a", b"a\0"), Ordering::Less);
        assert_eq!(compare_same_head(b"abcdefgh", b"abcdefgh"), Ordering::Equal);
        assert_eq!(compare_same_head(b"abcdefghi", b"abcdefgh"), Ordering::Greater);
        assert_eq!(compare_same_head(b"abcdefghi", b"abcdefghj"), Ordering::Less);
        assert_eq!(against_prefix(b"abcd", b"ab"), Ok(&b"cd"[..]));
        assert_eq!(against_prefix(b"a", b"ab"), Err(Ordering::Less));
        assert_eq!(against_prefix(b"ac", b"ab"), Err(Ordering::Greater));
    }

    #[test]
    fn heads_order_like_keys() {
        let keys: [&[u8]; 7] = [b"", b"\0", b"a", b"a\0", b"ab", b"abcdefgh", b"abcdefghi"];
        for pair in keys.windows(2) {
            assert!(head_of(pair[0]) <= head_of(pair[1]), "{pair:?}");
        }
    }
}
