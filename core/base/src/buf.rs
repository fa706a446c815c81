//! A byte buffer aligned to a disk's sector, so that column values in a page can be read in place and a driver may write
//! past the system's page cache.

use std::fmt;
use std::ops::{Deref, DerefMut};

#[derive(Clone, Copy, bytemuck::Zeroable, bytemuck::Pod)]
#[repr(C, align(512))]
struct Block([u8; BLOCK_BYTES]);

/// The alignment.
const BLOCK_BYTES: usize = 512;

/// An owned byte buffer whose first byte is 512-byte aligned.
#[derive(Clone, Default)]
pub struct AlignedBuf {
    blocks: Vec<Block>,
    len: usize,
}

impl AlignedBuf {
    /// `len` zero bytes.
    pub fn zeroed(len: usize) -> Self {
        AlignedBuf { blocks: vec![Block([0; BLOCK_BYTES]); len.div_ceil(BLOCK_BYTES)], len }
    }

    /// An empty buffer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        AlignedBuf { blocks: Vec::with_capacity(capacity.div_ceil(BLOCK_BYTES)), len: 0 }
    }

    /// Adds bytes at the end.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let start = self.len;
        self.resize(start + bytes.len());
        self[start..].copy_from_slice(bytes);
    }

    /// Cuts, or grows with zeros.
    pub fn resize(&mut self, len: usize) {
        if len < self.len {
            // What lies beyond the end is zero, always: growing again must give zeros.
            let old = self.len;
            self[len..old].fill(0);
        }
        self.blocks.resize(len.div_ceil(BLOCK_BYTES), Block([0; BLOCK_BYTES]));
        self.len = len;
    }

    /// Bytes reserved.
    pub fn capacity(&self) -> usize {
        self.blocks.capacity() * BLOCK_BYTES
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.blocks)[..self.len]
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.blocks)[..self.len]
    }
}

impl From<&[u8]> for AlignedBuf {
    fn from(bytes: &[u8]) -> Self {
        let mut buf = AlignedBuf::with_capacity(bytes.len());
        buf.extend_from_slice(bytes);
        buf
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedBuf({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_and_zero_after_shrinking() {
        let mut buf = AlignedBuf::from(&[7u8; 100][..]);
        assert_eq!(buf.as_ptr() as usize % BLOCK_BYTES, 0);
        buf.resize(10);
        buf.resize(100);
        assert_eq!(&buf[..10], &[7; 10]);
        assert!(buf[10..].iter().all(|&byte| byte == 0));
    }
}
