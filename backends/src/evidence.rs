//! Evidence: documents that stay as they are, each known by the digest of its bytes, in a folder or an object store.
//!
//! Whoever knows a digest reads what it was made of, or learns that it is damaged. A document is kept whole or not at
//! all, and keeping it twice is keeping it once.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use futures_util::{Stream, StreamExt as _};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::buffered::BufWriter;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt as _, RetryConfig};
use proto::Digest;
use proto::digest::Hasher;
use tokio::io::AsyncWriteExt as _;

/// Largest document that is read, in bytes: above any report or job file that this program writes.
const DOCUMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// How often and how long an object store that fails is asked again within one verb; the callers are loops.
const RETRIES: usize = 3;
const RETRY_WITHIN: Duration = Duration::from_secs(20);

/// The store at a vendor, by what the environment says to its builder. Each builder is a type with keys of its own.
macro_rules! cloud {
    ($builder:ident, $prefix:literal, $place:expr, $env:expr) => {{
        let known = $env.into_iter().filter(|(name, _)| name.starts_with($prefix));
        let known = known.filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value)));
        let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_WITHIN, ..RetryConfig::default() };
        let builder = $builder::new().with_url($place).with_retry(retry);
        let builder = known.fold(builder, |builder, (key, value)| builder.with_config(key, value));
        builder.build().map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
    }};
}

/// Keeps documents by digest. Clones share one place.
#[derive(Clone)]
pub struct Evidence {
    store: Arc<dyn ObjectStore>,
    /// Below which all documents lie.
    root: Key,
    /// The place as a person gave it, without secrets.
    place: Arc<str>,
}

/// Why a document was not kept or read.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The place is none.
    #[error("open evidence at `{place}`: expected a folder, or a URL as in `s3://bucket/prefix`, `gs://…` or `az://…`")]
    Place {
        /// As it was given.
        place: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file could not be read or packed.
    #[error("keep file `{path}` as evidence")]
    File {
        /// The file.
        path: String,
        /// What came back.
        #[source]
        source: std::io::Error,
    },
    /// The place did not take it, or did not give it.
    #[error("{what} evidence `{digest}` at `{place}`")]
    Store {
        /// What was tried.
        what: &'static str,
        /// The document.
        digest: Digest,
        /// Where.
        place: String,
        /// What came back.
        #[source]
        source: Box<object_store::Error>,
    },
    /// The place does not answer as it must.
    #[error("list evidence at `{place}`")]
    Unanswered {
        /// Where.
        place: String,
        /// What came back.
        #[source]
        source: Box<object_store::Error>,
    },
    /// What lies there is not what was kept, or it could not be packed.
    #[error("evidence `{digest}` at `{place}` cannot be used: {reason}")]
    Damaged {
        /// The document.
        digest: Digest,
        /// Where.
        place: String,
        /// In what way.
        reason: String,
    },
}

impl Evidence {
    /// Documents in a folder, which is made if it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn in_folder(folder: &Path) -> Result<Self, EvidenceError> {
        let place = folder.display().to_string();
        let failed = |source| EvidenceError::Place { place: place.clone(), source };
        std::fs::create_dir_all(folder).map_err(|error| failed(error.into()))?;
        // Synced: who is told that a document is kept may ack what it was made of.
        let store = LocalFileSystem::new_with_prefix(folder).map_err(|error| failed(error.into()))?.with_fsync(true);
        Ok(Self { store: Arc::new(store), root: Key::default(), place: place.into() })
    }

    /// Documents in the folder or below the URL that `place` names. Credentials and addresses come from the environment
    /// `env`, as each vendor names them: `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT`, `GOOGLE_SERVICE_ACCOUNT`,
    /// `AZURE_STORAGE_ACCOUNT_NAME`, ….
    ///
    /// # Errors
    /// It names none. Whether it can be reached shows when it is used.
    pub fn open(place: &str, env: impl IntoIterator<Item = (String, String)>) -> Result<Self, EvidenceError> {
        let failed =
            |source: Box<dyn std::error::Error + Send + Sync>| EvidenceError::Place { place: place.to_owned(), source };
        let Some((scheme, rest)) = place.split_once("://") else { return Self::in_folder(Path::new(place)) };
        let store = match scheme {
            "file" => return Self::in_folder(Path::new(rest)),
            "s3" => cloud!(AmazonS3Builder, "AWS_", place, env),
            "gs" => cloud!(GoogleCloudStorageBuilder, "GOOGLE_", place, env),
            "az" => cloud!(MicrosoftAzureBuilder, "AZURE_", place, env),
            other => return Err(failed(format!("`{other}` is no kind of store").into())),
        };
        let prefix = rest.split_once('/').map_or("", |(_, prefix)| prefix);
        let root = Key::parse(prefix.trim_matches('/')).map_err(|error| failed(error.into()))?;
        Ok(Self { store: store.map_err(|error| failed(error.into()))?, root, place: place.into() })
    }

    /// Keeps a document; returns once it is kept.
    ///
    /// # Errors
    /// The place did not take it.
    pub async fn keep(&self, document: Vec<u8>) -> Result<Digest, EvidenceError> {
        let digest = Digest::of(&document);
        let packed = off_thread(move || pack(&document)).await.map_err(|reason| self.damaged(&digest, reason))?;
        // What may lie there already has the name of its own bytes, so it is the same.
        match self.store.put(&self.key(&digest), packed.into()).await {
            Ok(_) => Ok(digest),
            Err(source) => Err(self.failed("keep", &digest, source)),
        }
    }

    /// Keeps a file as a document, piece by piece: its size does not matter. What it is packed into lies beside it
    /// meanwhile.
    ///
    /// # Errors
    /// It cannot be read or packed, or the place did not take it.
    pub async fn keep_file(&self, file: &Path) -> Result<Digest, EvidenceError> {
        let unread = |source| EvidenceError::File { path: file.display().to_string(), source };
        let (from, to) = (file.to_owned(), file.with_added_extension("gz"));
        let packed = to.clone();
        let digest = tokio::task::spawn_blocking(move || pack_file(&from, &to)).await;
        let digest = digest.map_err(|error| unread(error.into()))?.map_err(unread)?;
        let sent = self.send(&packed, &digest).await;
        tokio::fs::remove_file(&packed).await.map_err(unread)?;
        sent.map(|()| digest)
    }

    async fn send(&self, packed: &Path, digest: &Digest) -> Result<(), EvidenceError> {
        let unread = |source| EvidenceError::File { path: packed.display().to_string(), source };
        let failed = |error: std::io::Error| {
            self.failed("keep", digest, object_store::Error::Generic { store: "evidence", source: error.into() })
        };
        let mut file = tokio::fs::File::open(packed).await.map_err(unread)?;
        let mut upload = BufWriter::new(self.store.clone(), self.key(digest));
        // Dropped before its end, an upload leaves nothing under the name.
        tokio::io::copy(&mut file, &mut upload).await.map_err(failed)?;
        upload.shutdown().await.map_err(failed)
    }

    /// A document as it lies there, compressed with gzip, piece by piece, and unchecked: for whoever passes it on.
    ///
    /// # Errors
    /// There is none, or the place did not give it.
    pub async fn packed(
        &self,
        digest: &Digest,
    ) -> Result<impl Stream<Item = std::io::Result<Bytes>> + Send + use<>, EvidenceError> {
        let found = self.store.get(&self.key(digest)).await.map_err(|source| self.failed("read", digest, source))?;
        Ok(found.into_stream().map(|piece| piece.map_err(std::io::Error::from)))
    }

    /// A document as it was kept.
    ///
    /// # Errors
    /// There is none, it is damaged, or the place did not give it.
    pub async fn read(&self, digest: &Digest) -> Result<Vec<u8>, EvidenceError> {
        let failed = |source| self.failed("read", digest, source);
        let packed = self.store.get(&self.key(digest)).await.map_err(failed)?.bytes().await.map_err(failed)?;
        let document = off_thread(move || unpack(&packed)).await.map_err(|reason| self.damaged(digest, reason))?;
        match Digest::of(&document) {
            found if found == *digest => Ok(document),
            found => Err(self.damaged(digest, format!("its bytes have the digest `{found}`"))),
        }
    }

    /// Deletes a document that no kept row names any more; one that is not there is deleted.
    ///
    /// # Errors
    /// The place did not delete it.
    pub async fn delete(&self, digest: &Digest) -> Result<(), EvidenceError> {
        match self.store.delete(&self.key(digest)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.failed("delete", digest, source)),
        }
    }

    /// Whether the place answers.
    ///
    /// # Errors
    /// It does not: what came back.
    pub async fn health(&self) -> Result<(), EvidenceError> {
        // A listing, because a bucket that is missing has no document either.
        let nothing = self.root.clone().join("health");
        match self.store.list(Some(&nothing)).next().await {
            None | Some(Ok(_)) => Ok(()),
            Some(Err(source)) => {
                Err(EvidenceError::Unanswered { place: self.place.to_string(), source: source.into() })
            }
        }
    }

    /// `sha256/ab/cdef….gz`: a folder holds some hundreds of names at most times.
    fn key(&self, digest: &Digest) -> Key {
        let (head, rest) = digest.hex().split_at(2);
        self.root.clone().join(digest.algorithm()).join(head).join(format!("{rest}.gz"))
    }

    fn damaged(&self, digest: &Digest, reason: String) -> EvidenceError {
        EvidenceError::Damaged { digest: digest.clone(), place: self.place.to_string(), reason }
    }

    fn failed(&self, what: &'static str, digest: &Digest, source: object_store::Error) -> EvidenceError {
        EvidenceError::Store { what, digest: digest.clone(), place: self.place.to_string(), source: source.into() }
    }
}

/// Compresses, or does the contrary, off the threads that answer for connections.
async fn off_thread(work: impl FnOnce() -> std::io::Result<Vec<u8>> + Send + 'static) -> Result<Vec<u8>, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn pack(document: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(document)?;
    encoder.finish()
}

/// The digest of the file `from`, which is packed into `to`.
fn pack_file(from: &Path, to: &Path) -> std::io::Result<Digest> {
    let mut from = File::open(from)?;
    let mut encoder = GzEncoder::new(File::create(to)?, Compression::fast());
    let (mut hasher, mut piece) = (Hasher::sha256(), vec![0; 64 * 1024]);
    loop {
        let bytes = from.read(&mut piece)?;
        if bytes == 0 {
            break;
        }
        hasher.update(&piece[..bytes]);
        encoder.write_all(&piece[..bytes])?;
    }
    encoder.finish()?;
    Ok(hasher.finish())
}

fn unpack(packed: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut document = Vec::new();
    let mut decoder = GzDecoder::new(packed).take(DOCUMENT_BYTES_MAX + 1);
    decoder.read_to_end(&mut document)?;
    if document.len() as u64 > DOCUMENT_BYTES_MAX {
        return Err(std::io::Error::other(format!("it has more than {DOCUMENT_BYTES_MAX} bytes")));
    }
    Ok(document)
}
