//! What is read from a layout, checked against its digest.

use std::fs::File;
use std::path::Path;

use futures_util::StreamExt;
use proto::{Descriptor, Digest, Manifest, limits};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::files::{Files, blob_path};
use super::{Referrer, error};
use crate::blobs::BlobStream;
use crate::error::Error;

/// Bytes of one chunk of a blob.
const CHUNK_BYTES: usize = 128 * 1024;

/// The manifest `digest`. Blocks.
pub(super) fn manifest(files: &Files, digest: &Digest) -> Result<Manifest, Error> {
    let bytes = files.read(&blob_path(digest), limits::MANIFEST_BYTES_MAX as u64)?;
    let bytes = bytes.ok_or_else(|| error::missing(files.path(), digest))?;
    if !digest.matches(&bytes) {
        return Err(error::corrupt(files.path(), digest, "its content has another digest"));
    }
    Manifest::parse(bytes.into(), None)
        .map_err(|source| error::unusable(files.path(), format!("`{digest}` is no manifest")).caused_by(source))
}

/// What the manifest `digest` refers to, if it refers to anything. Blocks.
pub(super) fn referrer(files: &Files, digest: &Digest) -> Result<Option<Referrer>, Error> {
    let manifest = manifest(files, digest)?;
    let descriptor = describe(&manifest);
    Ok(manifest.subject.map(|subject| Referrer { subject: subject.digest, descriptor }))
}

/// The descriptor of a referrer, with what tells its kind (distribution-spec, "Listing Referrers").
pub(super) fn describe(manifest: &Manifest) -> Descriptor {
    let mut descriptor = manifest.descriptor();
    descriptor.artifact_type.clone_from(&manifest.artifact_type);
    descriptor.annotations.clone_from(&manifest.annotations);
    descriptor
}

/// The content of a blob. Blocks for the opening only.
pub(super) fn blob(files: &Files, wanted: &Descriptor) -> Result<BlobStream, Error> {
    let extent = files.open(&blob_path(&wanted.digest))?.ok_or_else(|| error::missing(files.path(), &wanted.digest))?;
    stream(extent.file, extent.size, files.path(), wanted)
}

/// The next `size` bytes of `file`, which are those of a blob of the layout, or the file, at `path`.
pub(super) fn stream(file: File, size: u64, path: &Path, wanted: &Descriptor) -> Result<BlobStream, Error> {
    if size != wanted.size {
        let why = format!("it has {size} bytes, its descriptor says {}", wanted.size);
        return Err(error::corrupt(path, &wanted.digest, why));
    }
    let path = path.to_owned();
    let name = format!("blob `{}` of layout `{}`", wanted.digest, path.display());
    let content = tokio::fs::File::from_std(file).take(size);
    let chunks = ReaderStream::with_capacity(content, CHUNK_BYTES)
        .map(move |chunk| chunk.map_err(|refused| error::io("read", &path)(refused)));
    Ok(BlobStream::checked(chunks, wanted, name))
}
