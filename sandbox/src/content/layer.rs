//! Layers: gzip-compressed tars of one file, made by hand in stored blocks, so that their bytes depend on nothing else.

use bytes::Bytes;
use proto::Digest;

use crate::synthetic::noise;

/// A layer of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The compressed tar.
    pub bytes: Bytes,
    /// Digest of the tar before compression, as the image's configuration names it.
    pub diff_id: Digest,
}

impl Layer {
    /// A layer with one file of `size` bytes of noise.
    pub fn new(seed: u64, size: usize) -> Self {
        Self::with_file(&format!("usr/share/sandbox/{seed}"), &noise(seed, size))
    }

    /// A layer with one file.
    pub fn with_file(path: &str, content: &[u8]) -> Self {
        let tar = tar(path, content);
        Self { diff_id: Digest::of(&tar), bytes: gzip(&tar).into() }
    }
}

/// Bytes of a block of a tar.
const BLOCK: usize = 512;

fn tar(path: &str, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    // A path that is too long for a header stays empty in it; ours are short.
    let _ = header.set_path(path);
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_cksum();
    let mut archive = header.as_bytes().to_vec();
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(BLOCK) + 2 * BLOCK, 0);
    archive
}

/// RFC 1952 around stored blocks of RFC 1951.
fn gzip(content: &[u8]) -> Vec<u8> {
    let mut compressed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut blocks = content.chunks(usize::from(u16::MAX)).peekable();
    while let Some(block) = blocks.next() {
        let length = block.len() as u16;
        compressed.push(u8::from(blocks.peek().is_none()));
        compressed.extend_from_slice(&length.to_le_bytes());
        compressed.extend_from_slice(&(!length).to_le_bytes());
        compressed.extend_from_slice(block);
    }
    compressed.extend_from_slice(&crc32(content).to_le_bytes());
    compressed.extend_from_slice(&(content.len() as u32).to_le_bytes());
    compressed
}

/// The checksum of gzip, by a table of what each byte does: bit by bit it would take most of the time in which a demo's
/// content is made.
fn crc32(content: &[u8]) -> u32 {
    const TABLE: [u32; 256] = crc32_table();
    let mut crc = u32::MAX;
    for byte in content {
        crc = (crc >> 8) ^ TABLE[usize::from(crc as u8 ^ byte)];
    }
    !crc
}

const fn crc32_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_gzip() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn the_same_seed_gives_the_same_layer_and_another_seed_another() {
        assert_eq!(Layer::new(1, 100_000), Layer::new(1, 100_000));
        assert_ne!(Layer::new(1, 100), Layer::new(2, 100));
    }
}
