//! Bytes of a write set: keys and values one behind the other in chunks that never move, so that a large write set
//! costs no copying as it grows.
//!
//! It frees nothing but its end ([`Arena::truncate`], for rollbacks to a savepoint).

/// Where bytes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArenaAt {
    chunk: u32,
    offset: u32,
}

/// See the file's head.
#[derive(Debug, Default)]
pub struct Arena {
    chunks: Vec<Vec<u8>>,
    reserved_bytes: usize,
}

const FIRST_CHUNK_BYTES: usize = 256;
const CHUNK_BYTES_MAX: usize = 1 << 20;

impl Arena {
    /// Adds a key and a value; they lie side by side.
    #[inline]
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> ArenaAt {
        let len = key.len() + value.len();
        if self.chunks.last().is_none_or(|last| last.capacity() - last.len() < len) {
            self.add_chunk(len);
        }
        let chunk = self.chunks.len() - 1;
        let last = &mut self.chunks[chunk];
        let at = ArenaAt { chunk: chunk as u32, offset: last.len() as u32 };
        last.extend_from_slice(key);
        last.extend_from_slice(value);
        at
    }

    #[cold]
    fn add_chunk(&mut self, len: usize) {
        let doubled = self.chunks.last().map_or(FIRST_CHUNK_BYTES, |last| last.capacity() * 4);
        let capacity = doubled.min(CHUNK_BYTES_MAX).max(len);
        self.reserved_bytes += capacity;
        self.chunks.push(Vec::with_capacity(capacity));
    }

    /// `len` bytes from `at` plus `skip`.
    #[inline]
    pub fn get(&self, at: ArenaAt, skip: usize, len: usize) -> &[u8] {
        let start = at.offset as usize + skip;
        &self.chunks[at.chunk as usize][start..start + len]
    }

    /// Forgets everything from `at` on.
    pub fn truncate(&mut self, at: ArenaAt) {
        let keep = at.chunk as usize + 1;
        for chunk in self.chunks.drain(keep..) {
            self.reserved_bytes -= chunk.capacity();
        }
        if let Some(last) = self.chunks.last_mut() {
            last.truncate(at.offset as usize);
        }
    }

    /// Bytes taken from the allocator.
    pub fn reserved_bytes(&self) -> usize {
        self.reserved_bytes
    }
}
