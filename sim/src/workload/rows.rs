//! Keys and values of the workload. A value says which write it is, which key it belongs to, and fills the rest with
//! bytes drawn from its number: a mixed-up, stale or damaged value is told from the right one.

use crate::history::ValueId;
use crate::knobs::Mix;
use orrery_base::TreeId;
use orrery_base::hash::{checksum, hash64};
use orrery_base::rng::Rng;

/// The trees of the workload.
pub fn trees(mix: &Mix) -> impl Iterator<Item = TreeId> {
    (0..mix.tree_count as u32).map(|number| TreeId(TreeId::FIRST_USER.0 + number))
}

/// Draws a tree.
pub fn draw_tree(rng: &mut Rng, mix: &Mix) -> TreeId {
    TreeId(TreeId::FIRST_USER.0 + rng.below(mix.tree_count) as u32)
}

/// Draws a key: low numbers come more often.
pub fn draw_key(rng: &mut Rng, tree: TreeId, mix: &Mix) -> Vec<u8> {
    let number = rng.below(mix.key_count).min(rng.below(mix.key_count));
    key(tree, number, mix)
}

/// The key of this number. Trees differ in where the padding goes: before the number (a common prefix), or after it.
pub fn key(tree: TreeId, number: u64, mix: &Mix) -> Vec<u8> {
    let padding = vec![b'p'; mix.key_padding_bytes as usize];
    let number = format!("{:06}", number * 7919 % 100_003);
    match tree.0 % 2 {
        0 => [number.as_bytes(), &padding].concat(),
        _ => [&padding, number.as_bytes()].concat(),
    }
}

/// Draws a value's length.
pub fn draw_len(rng: &mut Rng, mix: &Mix) -> usize {
    if rng.chance(mix.large_value_per_mille, 1000) {
        return rng.range(2049..*rng.clone().pick(&[6_000, 20_000, 90_000])) as usize;
    }
    rng.range(HEAD_BYTES as u64..HEAD_BYTES as u64 + mix.value_bytes_max) as usize
}

const HEAD_BYTES: usize = 16;

/// The value's bytes.
pub fn value(id: ValueId, key: &[u8], len: usize) -> Vec<u8> {
    let len = len.max(HEAD_BYTES);
    let mut bytes = Vec::with_capacity(len + 8);
    bytes.extend_from_slice(&id.0.to_le_bytes());
    bytes.extend_from_slice(&checksum(key).to_le_bytes());
    bytes.extend_from_slice(&(len as u32).to_le_bytes());
    let mut block = 0;
    while bytes.len() < len {
        block += 1;
        bytes.extend_from_slice(&hash64(id.0, &u64::to_le_bytes(block)).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Which write a value is; an error in words when it is not what that write wrote.
pub fn decode(key: &[u8], bytes: &[u8]) -> Result<ValueId, String> {
    let wrong = |what: &str| {
        format!("the value of key {:?} ({} bytes) {what}", String::from_utf8_lossy(key), bytes.len())
    };
    if bytes.len() < HEAD_BYTES {
        return Err(wrong("is too short"));
    }
    let id = ValueId(u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")));
    if bytes[8..12] != checksum(key).to_le_bytes() {
        return Err(wrong("belongs to another key"));
    }
    if bytes != value(id, key, bytes.len()) {
        return Err(wrong("is not what was written"));
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_their_place() {
        let bytes = value(ValueId(77), b"k", 100);
        assert_eq!((bytes.len(), decode(b"k", &bytes)), (100, Ok(ValueId(77))));
        assert!(decode(b"j", &bytes).is_err(), "another key");
        assert!(decode(b"k", &bytes[..99]).is_err(), "cut");
        for index in 0..100 {
            let mut bad = bytes.clone();
            bad[index] ^= 4;
            assert_ne!(decode(b"k", &bad), Ok(ValueId(77)), "byte {index}");
        }
    }
}
