//! OCI layouts (image-spec, image-layout.md): images in a folder or in a tar of one, read and written by the same verbs
//! as at a registry.

mod archive;
mod error;
mod files;
mod index;
mod read;
mod scratch;
mod tar;
mod write;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use proto::{Descriptor, Digest, Manifest, limits};

pub use self::archive::Archive;
use self::files::{Files, INDEX, INDEX_BYTES_MAX, blob_path};
pub(crate) use self::index::sibling;
use self::index::{Ambiguous, Index, is_sidecar, name_of, pin_of, split_tag};
pub use self::scratch::{Scratch, ScratchBlob};
use crate::blobs::{BlobSource, BlobStream, Progress, PushError};
use crate::error::{Error, Kind};
use crate::referrers::fallback_tag;

/// An OCI layout. Cheap to clone; clones share what they learned.
///
/// Content is checked against its digest whenever it is read. Names are values of the annotation
/// `org.opencontainers.image.ref.name` in `index.json`: full references, written so; a bare tag finds them too.
#[derive(Clone)]
pub struct Layout {
    files: Arc<Files>,
    /// Which manifests refer to which, by the digest of the referring one; a fact that cannot change.
    referrers: Arc<Mutex<HashMap<Digest, Option<Referrer>>>>,
}

/// A manifest with a `subject`.
#[derive(Clone)]
struct Referrer {
    subject: Digest,
    descriptor: Descriptor,
}

impl Layout {
    /// Opens the layout in the folder `path`.
    ///
    /// # Errors
    /// There is none (`NotFound`), or it is none that we read (`Unsupported`).
    pub async fn open_folder(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        blocking(move || Files::folder(&path)).await.map(Self::new)
    }

    /// Opens the layout in the tar `path`, to be read only; the tar is not unpacked.
    ///
    /// # Errors
    /// As [`open_folder`](Self::open_folder).
    pub async fn open_archive(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        blocking(move || Files::tar(&path)).await.map(Self::new)
    }

    /// Opens the layout in the folder `path`, to be written too; makes one where there is none.
    ///
    /// # Errors
    /// `Io`: the folder cannot be written. `Unsupported`: what is there is no layout that we read.
    pub async fn create(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        blocking(move || write::create(&path)).await.map(Self::new)
    }

    fn new(files: Files) -> Self {
        Self { files: Arc::new(files), referrers: Arc::default() }
    }

    /// The folder or the tar.
    pub fn path(&self) -> &Path {
        self.files.path()
    }

    /// The names of all images here, sorted; those of signatures and other sidecars are left out.
    ///
    /// # Errors
    /// `index.json` cannot be read.
    pub async fn names(&self) -> Result<Vec<String>, Error> {
        let index = self.index().await?;
        let names = index.descriptors().filter_map(name_of).filter(|name| !is_sidecar(name));
        let names: BTreeSet<_> = names.map(str::to_owned).collect();
        Ok(names.into_iter().collect())
    }

    /// What lies under `name`: literally so called, or else called by a reference with the tag `name`, or of the digest
    /// that it is or ends with. Without a name: the only image here.
    ///
    /// # Errors
    /// `Unsupported`: several images answer to it; the error names some.
    pub async fn resolve(&self, name: Option<&str>) -> Result<Option<Descriptor>, Error> {
        let index = self.index().await?;
        let (found, asked) = match name {
            Some(name) => match name.parse::<Digest>() {
                Ok(digest) => return self.kept(&digest).await,
                Err(_) => match (index.find(name), pin_of(name)) {
                    (Ok(None), Some((_, digest))) => return self.kept(&digest).await,
                    (found, _) => (found, format!("`{name}`")),
                },
            },
            None => (self.only_image(&index).await?, "no name".to_owned()),
        };
        found.map_err(|several| error::ambiguous(self.path(), &asked, &several))
    }

    /// The only one of the named images, or, where none is named, the only one that is not a referrer.
    async fn only_image(&self, index: &Index) -> Result<Result<Option<Descriptor>, Ambiguous>, Error> {
        match index.only(|entry| name_of(entry).is_some_and(|name| !is_sidecar(name))) {
            Ok(None) => {}
            settled => return Ok(settled),
        }
        let referrers = self.all_referrers(index).await?;
        Ok(index.only(|entry| {
            name_of(entry).is_none() && !referrers.iter().any(|referrer| referrer.descriptor.digest == entry.digest)
        }))
    }

    async fn kept(&self, digest: &Digest) -> Result<Option<Descriptor>, Error> {
        match self.manifest(digest).await {
            Ok(manifest) => Ok(Some(manifest.descriptor())),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The manifest with this digest, byte for byte.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt`: it has another digest; `Unsupported`: it is of a form that is not copied.
    pub async fn manifest(&self, digest: &Digest) -> Result<Manifest, Error> {
        let (files, digest) = (self.files.clone(), digest.clone());
        blocking(move || read::manifest(&files, &digest)).await
    }

    /// The manifest under `name`, as [`resolve`](Self::resolve) finds it.
    ///
    /// # Errors
    /// `NotFound`, and those of [`resolve`](Self::resolve) and [`manifest`](Self::manifest).
    pub(crate) async fn named_manifest(&self, name: &str) -> Result<Manifest, Error> {
        match self.resolve(Some(name)).await? {
            Some(found) => self.manifest(&found.digest).await,
            None => Err(Error::new(Kind::NotFound, format!("read `{name}` in layout `{}`", self.path().display()))
                .because("there is no such name")),
        }
    }

    /// The length of a blob, none if it is not there.
    ///
    /// # Errors
    /// The layout cannot be read.
    pub async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let (files, path) = (self.files.clone(), blob_path(digest));
        blocking(move || Ok(files.open(&path)?.map(|extent| extent.size))).await
    }

    /// The manifests that refer to `subject`: by their own `subject`, wherever they stand in `index.json`, or listed
    /// under the tag `sha256-<hex>` (distribution-spec, "Referrers Tag Schema"), as other tools write it.
    ///
    /// # Errors
    /// `Unsupported`: there are more than an image may have.
    pub async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        let index = self.index().await?;
        let all = self.all_referrers(&index).await?;
        let mut found: Vec<Descriptor> =
            all.into_iter().filter(|referrer| referrer.subject == *subject).map(|it| it.descriptor).collect();
        let list = fallback_tag(subject);
        let is_list =
            |name| list.as_ref().is_some_and(|list| split_tag(name).map_or(name, |(_, tag)| tag) == list.as_str());
        for entry in index.descriptors().filter(|entry| name_of(entry).is_some_and(is_list)) {
            found.extend_from_slice(self.manifest(&entry.digest).await?.children());
        }
        found.sort_by(|a, b| a.digest.as_str().cmp(b.digest.as_str()));
        found.dedup_by(|a, b| a.digest == b.digest);
        if found.len() > limits::MANIFESTS_PER_IMAGE_MAX {
            return Err(error::unusable(self.path(), format!("`{subject}` has {} referrers", found.len())));
        }
        Ok(found)
    }

    /// The referrers among the entries of `index.json`; each manifest is read once only.
    ///
    /// One that is missing, corrupt or of no known form is passed over: it must not stop the images beside it.
    async fn all_referrers(&self, index: &Index) -> Result<Vec<Referrer>, Error> {
        let manifests = index.descriptors().filter(|entry| entry.is_manifest());
        let digests: BTreeSet<Digest> = manifests.map(|entry| entry.digest.clone()).collect();
        let (files, known) = (self.files.clone(), self.referrers.clone());
        blocking(move || {
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|digest, _| digests.contains(digest));
            for digest in digests {
                if known.contains_key(&digest) {
                    continue;
                }
                match read::referrer(&files, &digest) {
                    Ok(referrer) => drop(known.insert(digest, referrer)),
                    Err(fault) if fault.kind() == Kind::Io => return Err(fault),
                    Err(fault) => tracing::warn!(%fault, "passed over a manifest of a layout"),
                }
            }
            Ok(known.values().flatten().cloned().collect())
        })
        .await
    }

    /// Keeps a manifest under its digest. One with a `subject` is listed in `index.json`, so that it is found as its
    /// referrer.
    ///
    /// # Errors
    /// `Io`: it cannot be written. `Unsupported`: an archive is only read.
    pub async fn put_manifest(&self, manifest: &Manifest) -> Result<(), Error> {
        let (root, manifest) = (self.folder()?.to_owned(), manifest.clone());
        blocking(move || {
            write::bytes(&root, &manifest.digest, &manifest.raw)?;
            match manifest.subject {
                Some(_) => write::change_index(&root, |index| {
                    index.set(None, &read::describe(&manifest));
                    Ok(())
                }),
                None => Ok(()),
            }
        })
        .await
    }

    /// Gives the name to the manifest, taking it from another. Without a name it becomes the only image here.
    ///
    /// # Errors
    /// `Io`: it cannot be written. `Unsupported`: without a name, and another image is here.
    pub async fn set_name(&self, name: Option<&str>, manifest: &Descriptor) -> Result<(), Error> {
        let root = self.folder()?.to_owned();
        if name.is_none() && self.resolve(None).await?.is_some_and(|other| other.digest != manifest.digest) {
            return Err(Error::new(Kind::Unsupported, format!("write an image to layout `{}`", root.display()))
                .because("it holds another one already, so this one needs a name")
                .hinting("name it: `oci:PATH:NAME`"));
        }
        // A digest is no name: what is listed is found by it.
        let name = name.filter(|name| name.parse::<Digest>().is_err()).map(str::to_owned);
        let manifest = manifest.clone();
        blocking(move || {
            write::change_index(&root, |index| {
                index.set(name.as_deref(), &manifest);
                Ok(())
            })
        })
        .await
    }

    /// Writes a blob read from `source`; returns once it is on disk under its digest. Does not ask before whether it
    /// is there. Nothing is left of one that fails.
    ///
    /// # Errors
    /// Says which side failed; `Io` at the destination: it cannot be written (a full disk).
    pub async fn push_blob(
        &self,
        blob: &Descriptor,
        source: &dyn BlobSource,
        progress: &Progress,
    ) -> Result<(), PushError> {
        let root = self.folder().map_err(PushError::Destination)?;
        write::blob(root, blob, source, progress).await
    }

    /// The folder, to write to it.
    fn folder(&self) -> Result<&Path, Error> {
        match &*self.files {
            Files::Folder(root) => Ok(root),
            Files::Tar(tar) => Err(Error::new(Kind::Unsupported, format!("write to `{}`", tar.path().display()))
                .because("an archive is written whole")),
        }
    }

    async fn index(&self) -> Result<Index, Error> {
        let files = self.files.clone();
        blocking(move || {
            let bytes = files
                .read(INDEX, INDEX_BYTES_MAX)?
                .ok_or_else(|| error::unusable(files.path(), "it has no file `index.json`"))?;
            Index::parse(&bytes).map_err(|source| error::unreadable(files.path(), INDEX, source))
        })
        .await
    }
}

#[async_trait]
impl BlobSource for Layout {
    /// # Errors
    /// `NotFound`: it is not there. `Corrupt`: it has another size.
    async fn open(&self, blob: &Descriptor) -> Result<BlobStream, Error> {
        let (files, wanted) = (self.files.clone(), blob.clone());
        blocking(move || read::blob(&files, &wanted)).await
    }
}

/// Runs what waits for the disk beside the runtime.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(cancelled) => Err(Error::new(Kind::Internal, "work on a layout").caused_by(cancelled)),
        },
    }
}
