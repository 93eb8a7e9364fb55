//! Content that exists only as a seed and a size, so that a layer of gigabytes needs no memory.

use bytes::Bytes;
use proto::digest::Hasher;

/// The stream repeats in blocks of this many bytes, each marked with its number.
const BLOCK: usize = 64 * 1024;

/// Bytes made on the fly from a seed; any part of them can be made alone.
#[derive(Debug, Clone)]
pub(crate) struct Synthetic {
    /// One block of noise; every block of the content is this one with its number over the first eight bytes.
    noise: Bytes,
    pub(crate) size: u64,
}

impl Synthetic {
    pub(crate) fn new(seed: u64, size: u64) -> Self {
        Self { noise: noise(seed, BLOCK).into(), size }
    }

    /// At most `max` bytes from `offset`, up to the end of a block; empty at the end of the content.
    pub(crate) fn read(&self, offset: u64, max: usize) -> Bytes {
        let (number, start) = (offset / BLOCK as u64, (offset % BLOCK as u64) as usize);
        let left = self.size.saturating_sub(offset).min((BLOCK - start) as u64) as usize;
        let end = start + left.min(max);
        if start >= 8 {
            return self.noise.slice(start..end);
        }
        let mut block = self.noise.to_vec();
        block[..8].copy_from_slice(&number.to_le_bytes());
        Bytes::from(block).slice(start..end)
    }

    pub(crate) fn digest(&self) -> proto::Digest {
        let mut hasher = Hasher::sha256();
        let mut offset = 0;
        while offset < self.size {
            let bytes = self.read(offset, BLOCK);
            hasher.update(&bytes);
            offset += bytes.len() as u64;
        }
        hasher.finish()
    }
}

/// `len` bytes that do not compress, the same for the same seed (SplitMix64).
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_of_synthetic_content_equals_that_part_of_the_whole() {
        let content = Synthetic::new(7, 200_000);
        let mut whole = Vec::new();
        while whole.len() < 200_000 {
            whole.extend_from_slice(&content.read(whole.len() as u64, usize::MAX));
        }
        assert!(content.digest().matches(&whole));
        for offset in [0, 1, 7, 8, 65_535, 65_536, 65_540, 199_999] {
            let part = content.read(offset, 100);
            assert_eq!(part[..], whole[offset as usize..][..part.len()], "at {offset}");
        }
        assert!(content.read(200_000, 1).is_empty());
    }
}
