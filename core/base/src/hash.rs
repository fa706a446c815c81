//! The one hash function: seeded 64-bit XXH3, the same bits on every platform (L2).

/// Hashes `bytes`. Different seeds give independent functions.
#[inline]
pub fn hash64(seed: u64, bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(bytes, seed)
}

/// CRC-32 (IEEE), the checksum of pages, frames and superblocks.
#[inline]
pub fn checksum(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// Continues a CRC-32: the checksum of what `previous` covers followed by `bytes`.
pub fn checksum_chain(previous: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(previous);
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These values are part of the file format: they must never change.
    #[test]
    fn known_values() {
        assert_eq!(hash64(0, b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
        assert_eq!(checksum_chain(checksum(b"1234"), b"56789"), 0xcbf4_3926);
    }
}
