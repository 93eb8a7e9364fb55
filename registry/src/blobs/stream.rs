//! A blob as a stream that is checked as it passes, and what such a stream comes from.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use proto::digest::Hasher;
use proto::{Descriptor, Digest};

use crate::error::{Error, Kind};

/// The bytes of a blob. The last of them come only after all were found to have the digest and the size of the
/// descriptor, so whoever passes them on never completes a blob that is wrong.
pub struct BlobStream {
    inner: BoxStream<'static, Result<Bytes, Error>>,
    name: String,
    digest: Digest,
    size: u64,
    /// Hash and number of the bytes taken; none once the end was checked.
    checked: Option<(Hasher, u64)>,
    held: Option<Bytes>,
}

impl BlobStream {
    /// Checks `inner` against `blob`; `name` is for errors, as in `blob sha256:… of /srv/layout`.
    pub fn checked(
        inner: impl futures_util::Stream<Item = Result<Bytes, Error>> + Send + 'static,
        blob: &Descriptor,
        name: impl Into<String>,
    ) -> Self {
        Self {
            inner: inner.boxed(),
            name: name.into(),
            digest: blob.digest.clone(),
            size: blob.size,
            checked: Some((blob.digest.hasher(), 0)),
            held: None,
        }
    }

    /// The next bytes, never empty; none after the last.
    ///
    /// # Errors
    /// `Corrupt`: the bytes are not those of the descriptor; and those of whatever is read. After an error the stream
    /// is at its end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let Some((mut hasher, mut count)) = self.checked.take() else { return Ok(None) };
        loop {
            let Some(chunk) = self.inner.next().await.transpose()? else {
                self.check_end(hasher, count)?;
                return Ok(self.held.take());
            };
            if chunk.is_empty() {
                continue;
            }
            count += chunk.len() as u64;
            if count > self.size {
                return Err(self.corrupt(&format!("it is longer than its {} bytes", self.size)));
            }
            hasher.update(&chunk);
            if let Some(passed) = self.held.replace(chunk) {
                self.checked = Some((hasher, count));
                return Ok(Some(passed));
            }
        }
    }

    fn check_end(&self, hasher: Hasher, count: u64) -> Result<(), Error> {
        if count != self.size {
            return Err(self.corrupt(&format!("it ends after {count} of {} bytes", self.size)));
        }
        let digest = hasher.finish();
        if digest != self.digest {
            return Err(self.corrupt(&format!("its bytes have the digest `{digest}`")));
        }
        Ok(())
    }

    fn corrupt(&self, why: &str) -> Error {
        Error::new(Kind::Corrupt, format!("read {}", self.name)).because(why)
    }

    /// The whole blob, for small ones such as configurations.
    ///
    /// # Errors
    /// As [`next`](Self::next), and `Unsupported` if the descriptor names more than `max` bytes.
    pub async fn bytes(mut self, max: u64) -> Result<Bytes, Error> {
        if self.size > max {
            let error = Error::new(Kind::Unsupported, format!("read {}", self.name));
            return Err(error.because(format!("{} bytes exceed {max}", self.size)));
        }
        let mut bytes = bytes::BytesMut::new();
        while let Some(chunk) = self.next().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }
}

impl fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobStream({})", self.name)
    }
}

/// Where blobs come from. Opened again for each try of an upload.
#[async_trait]
pub trait BlobSource: Send + Sync {
    /// Opens `blob` at its start.
    async fn open(&self, blob: &Descriptor) -> Result<BlobStream, Error>;
}

/// One blob that is in memory.
#[async_trait]
impl BlobSource for Bytes {
    async fn open(&self, blob: &Descriptor) -> Result<BlobStream, Error> {
        let bytes = self.clone();
        let name = format!("blob `{}` from memory", blob.digest);
        Ok(BlobStream::checked(stream::once(async { Ok(bytes) }), blob, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What comes out of a stream of `chunks` for a blob of `content`, and how it ends.
    fn passed(content: &[u8], chunks: Vec<Vec<u8>>) -> (Vec<u8>, Option<Kind>) {
        let blob = Descriptor::new("t", Digest::of(content), content.len() as u64);
        let chunks = stream::iter(chunks.into_iter().map(|chunk| Ok(Bytes::from(chunk))));
        let mut stream = BlobStream::checked(chunks, &blob, "blob");
        let mut out = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            loop {
                match stream.next().await {
                    Ok(Some(chunk)) => out.extend_from_slice(&chunk),
                    Ok(None) => return (out, None),
                    Err(error) => return (out, Some(error.kind())),
                }
            }
        })
    }

    #[test]
    fn a_blob_of_no_bytes_passes() {
        assert_eq!(passed(b"", vec![]), (vec![], None));
        assert_eq!(passed(b"", vec![vec![]]), (vec![], None));
    }

    proptest! {
        #[test]
        fn a_right_blob_passes_whole_however_it_is_cut(chunks: Vec<Vec<u8>>) {
            let content = chunks.concat();
            prop_assert_eq!(passed(&content, chunks), (content, None));
        }

        #[test]
        fn a_wrong_blob_never_passes_whole(content: Vec<u8>, chunks: Vec<Vec<u8>>) {
            prop_assume!(content != chunks.concat());
            let (out, end) = passed(&content, chunks);
            prop_assert_eq!(end, Some(Kind::Corrupt));
            prop_assert!(out.len() < content.len() || content.is_empty() && out.is_empty());
        }
    }
}
