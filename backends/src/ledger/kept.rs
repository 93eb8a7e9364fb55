//! A manifest as a Ledger keeps it, and how it becomes one again.

use bytes::Bytes;
use proto::{Digest, Manifest};

/// A manifest as it is kept.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) media_type: String,
    pub(super) raw: Bytes,
}

impl Kept {
    pub(super) fn of(manifest: &Manifest) -> Self {
        Self { media_type: manifest.media_type.clone(), raw: manifest.raw.clone() }
    }

    /// Both as one text.
    pub(super) fn text(&self) -> Vec<u8> {
        [self.media_type.as_bytes(), b"\n", &self.raw].concat()
    }

    /// Reads back what [`text`](Self::text) gave.
    pub(super) fn of_text(text: Vec<u8>) -> Option<Self> {
        let text = Bytes::from(text);
        let end = text.iter().position(|byte| *byte == b'\n')?;
        let media_type = String::from_utf8(text[..end].to_vec()).ok()?;
        Some(Self { media_type, raw: text.slice(end + 1..) })
    }

    /// The manifest, if these are its bytes.
    pub(super) fn read(self, digest: &Digest) -> Option<Manifest> {
        let is_whole = digest.matches(&self.raw);
        let manifest = Manifest::parse(self.raw, Some(&self.media_type)).ok().filter(|_| is_whole)?;
        Some(Manifest { digest: digest.clone(), ..manifest })
    }
}
