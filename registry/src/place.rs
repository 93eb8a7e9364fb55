//! Where images are read from and written to: a repository at a registry, a layout folder, or an archive.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::future;
use proto::content::Referrers;
use proto::task::Sidecars;
use proto::{Descriptor, Digest, Host, ImageRef, LayoutRef, Location, Manifest, Reference, Repository, Tag};

use crate::blobs::{BlobSource, BlobStream, Progress, PushError, Pushed};
use crate::budget::{Action, Tally};
use crate::client::Client;
use crate::error::Error;
use crate::layout::{Archive, Layout, sibling};
use crate::manifests::{ManifestHead, PutAnswer};
use crate::referrers::cosign_tags;

/// Opens places, and keeps what was learned of them for the next time.
pub struct Places {
    client: Client,
    /// The layout folders that were opened, by their paths as given.
    layouts: Mutex<HashMap<PathBuf, Layout>>,
}

/// One image's place. The verbs mean the same wherever it is; what the location does not name itself (children,
/// referrers, signatures) lies beside it: in the same repository or layout.
pub enum Place {
    /// At a registry.
    Repository {
        /// How to reach it.
        client: Client,
        /// The image.
        image: ImageRef,
    },
    /// In a layout.
    Layout {
        /// The layout.
        layout: Layout,
        /// The image's name there; none means the only one.
        name: Option<String>,
        /// The archive that the layout is to become.
        archive: Option<Archive>,
    },
}

impl Places {
    /// Places at registries are reached through `client`.
    pub fn new(client: Client) -> Self {
        Self { client, layouts: Mutex::default() }
    }

    /// As [`Client::settled`].
    pub async fn settled(&self) {
        self.client.settled().await;
    }

    /// As [`Client::tally`].
    pub fn tally(&self) -> BTreeMap<(Host, Action), Tally> {
        self.client.tally()
    }

    /// Opens a place to read from it. At a registry nothing is asked yet.
    ///
    /// # Errors
    /// Those of [`Layout::open_folder`] and [`Layout::open_archive`].
    pub async fn source(&self, location: &Location) -> Result<Place, Error> {
        Ok(match location {
            Location::Registry(image) => self.repository(image),
            Location::Layout(at) => Place::in_layout(self.known(Layout::open_folder(&at.path).await?, &at.path), at),
            Location::Archive(at) => Place::in_layout(Layout::open_archive(&at.path).await?, at),
        })
    }

    /// Opens a place to write to it. A layout is made where there is none; an archive is written anew.
    ///
    /// # Errors
    /// Those of [`Layout::create`] and [`Archive::create`].
    pub async fn destination(&self, location: &Location) -> Result<Place, Error> {
        Ok(match location {
            Location::Registry(image) => self.repository(image),
            Location::Layout(at) => Place::in_layout(self.known(Layout::create(&at.path).await?, &at.path), at),
            Location::Archive(at) => {
                let archive = Archive::create(&at.path).await?;
                let layout = archive.layout().clone();
                Place::Layout { layout, name: at.name.clone(), archive: Some(archive) }
            }
        })
    }

    fn repository(&self, image: &ImageRef) -> Place {
        Place::Repository { client: self.client.clone(), image: image.clone() }
    }

    /// The layout that was opened at `path` before, if it is still the same folder: it knows its referrers.
    fn known(&self, opened: Layout, path: &Path) -> Layout {
        let mut layouts = self.layouts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = layouts.entry(path.to_owned()).or_insert_with(|| opened.clone());
        if known.path() != opened.path() {
            *known = opened;
        }
        known.clone()
    }
}

impl Place {
    fn in_layout(layout: Layout, at: &LayoutRef) -> Self {
        Self::Layout { layout, name: at.name.clone(), archive: None }
    }

    /// The repository, if this is at a registry: blobs can be mounted from others beside it.
    pub fn repository(&self) -> Option<&Repository> {
        match self {
            Self::Repository { image, .. } => Some(&image.repository),
            Self::Layout { .. } => None,
        }
    }

    /// The same content at other repositories, by the settings.
    pub fn alternatives(&self) -> Vec<Self> {
        let Self::Repository { client, image } = self else { return Vec::new() };
        let place = |repository| Self::Repository {
            client: client.clone(),
            image: ImageRef { repository, tag: image.tag.clone(), digest: image.digest.clone() },
        };
        client.alternatives(&image.repository).into_iter().map(place).collect()
    }

    /// What the location shows now; none if there is nothing.
    ///
    /// # Errors
    /// The place cannot be read; in a layout also if several images answer to the name.
    pub async fn resolve(&self) -> Result<Option<ManifestHead>, Error> {
        match self {
            Self::Repository { client, image } => client.head_manifest(&image.repository, &image.reference()).await,
            Self::Layout { layout, name, .. } => head_in(layout, name.as_deref()).await,
        }
    }

    /// What `reference` shows here, without reading it; none if there is nothing.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub async fn head(&self, reference: &Reference) -> Result<Option<ManifestHead>, Error> {
        match self {
            Self::Repository { client, image } => client.head_manifest(&image.repository, reference).await,
            Self::Layout { layout, name, .. } => head_in(layout, Some(&named(name.as_deref(), reference))).await,
        }
    }

    /// Reads the manifest `reference`, byte for byte.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, `Unsupported`, and those of any request.
    pub async fn manifest(&self, reference: &Reference) -> Result<Manifest, Error> {
        match self {
            Self::Repository { client, image } => client.manifest(&image.repository, reference).await,
            Self::Layout { layout, name, .. } => layout.named_manifest(&named(name.as_deref(), reference)).await,
        }
    }

    /// The length of a blob; none if it is not here.
    ///
    /// # Errors
    /// The place cannot be read.
    pub async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        match self {
            Self::Repository { client, image } => client.blob_size(&image.repository, digest).await,
            Self::Layout { layout, .. } => layout.blob_size(digest).await,
        }
    }

    /// Whether a blob of this digest and length is here.
    ///
    /// # Errors
    /// The place cannot be read.
    pub async fn has_blob(&self, blob: &Descriptor) -> Result<bool, Error> {
        Ok(self.blob_size(&blob.digest).await? == Some(blob.size))
    }

    /// Whether a manifest of this digest is here.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub async fn has_manifest(&self, digest: &Digest) -> Result<bool, Error> {
        Ok(self.head(&Reference::Digest(digest.clone())).await?.is_some())
    }

    /// Puts a blob here, mounted from `mount_from` if that can be, else read from `source`.
    ///
    /// # Errors
    /// Says which side failed.
    pub async fn push_blob(
        &self,
        blob: &Descriptor,
        mount_from: Option<&Repository>,
        source: &dyn BlobSource,
        progress: &Progress,
    ) -> Result<Pushed, PushError> {
        match self {
            Self::Repository { client, image } => {
                client.push_blob(&image.repository, blob, mount_from, source, progress).await
            }
            Self::Layout { layout, .. } => layout.push_blob(blob, source, progress).await.map(|()| Pushed::Uploaded),
        }
    }

    /// Puts a manifest here under `reference`: under its digest nothing that has a name moves.
    ///
    /// # Errors
    /// `Refused` by a registry, `Corrupt` if it keeps something else, `Io` on disk.
    pub async fn put_manifest(&self, reference: &Reference, manifest: &Manifest) -> Result<PutAnswer, Error> {
        match self {
            Self::Repository { client, image } => client.put_manifest(&image.repository, reference, manifest).await,
            Self::Layout { layout, name, .. } => {
                layout.put_manifest(manifest).await?;
                if let Reference::Tag(tag) = reference {
                    layout.set_name(Some(&sibling(name.as_deref(), tag)), &manifest.descriptor()).await?;
                }
                Ok(kept(manifest))
            }
        }
    }

    /// Puts the image's top manifest under the location's own name: the last step.
    ///
    /// # Errors
    /// As [`put_manifest`](Self::put_manifest).
    pub async fn tag(&self, manifest: &Manifest) -> Result<PutAnswer, Error> {
        match self {
            Self::Repository { client, image } => {
                let reference = match &image.tag {
                    Some(tag) => Reference::Tag(tag.clone()),
                    None => Reference::Digest(manifest.digest.clone()),
                };
                client.put_manifest(&image.repository, &reference, manifest).await
            }
            Self::Layout { layout, name, .. } => {
                layout.put_manifest(manifest).await?;
                layout.set_name(name.as_deref(), &manifest.descriptor()).await?;
                Ok(kept(manifest))
            }
        }
    }

    /// What refers to `subject` here, where `sidecars` are what a listing told.
    ///
    /// # Errors
    /// `Unsupported` if there are too many; the place cannot be read.
    pub async fn referrers(&self, subject: &Digest, sidecars: &Sidecars) -> Result<Vec<Descriptor>, Error> {
        match self {
            Self::Repository { client, image } => client.referrers_among(&image.repository, subject, sidecars).await,
            Self::Layout { layout, .. } => layout.referrers(subject).await,
        }
    }

    /// Those of cosign's tags for `subject` that are here, each with what it shows; only tags for what is `wanted`, and
    /// that may be here by what a listing told, are asked for.
    ///
    /// # Errors
    /// The place cannot be read.
    pub async fn cosign_tags(
        &self,
        subject: &Digest,
        wanted: &Referrers,
        sidecars: &Sidecars,
    ) -> Result<Vec<(Tag, ManifestHead)>, Error> {
        let possible = cosign_tags(subject, wanted).into_iter().filter(|tag| sidecars.may_have(tag));
        let asked = possible.map(async |tag| {
            let head = self.head(&Reference::Tag(tag.clone())).await?;
            Ok(head.map(|head| (tag, head)))
        });
        Ok(future::try_join_all(asked).await?.into_iter().flatten().collect())
    }

    /// Writes what is written only as a whole: an archive. Without this, an archive stays as it was.
    ///
    /// # Errors
    /// `Io`: it cannot be written.
    pub async fn finish(&self) -> Result<(), Error> {
        match self {
            Self::Layout { archive: Some(archive), .. } => archive.finish().await,
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl BlobSource for Place {
    async fn open(&self, blob: &Descriptor) -> Result<BlobStream, Error> {
        match self {
            Self::Repository { client, image } => client.read_blob(&image.repository, blob).await,
            Self::Layout { layout, .. } => layout.open(blob).await,
        }
    }
}

/// What `reference` is called in the layout of an image called `own`.
fn named(own: Option<&str>, reference: &Reference) -> String {
    match reference {
        Reference::Digest(digest) => digest.to_string(),
        Reference::Tag(tag) => sibling(own, tag),
    }
}

/// What `name` shows in a layout; nothing if the manifest itself is missing.
async fn head_in(layout: &Layout, name: Option<&str>) -> Result<Option<ManifestHead>, Error> {
    let Some(found) = layout.resolve(name).await? else { return Ok(None) };
    let size = layout.blob_size(&found.digest).await?;
    Ok(size.map(|size| ManifestHead { digest: found.digest, media_type: Some(found.media_type), size: Some(size) }))
}

/// A layout keeps under a digest what has it.
fn kept(manifest: &Manifest) -> PutAnswer {
    PutAnswer { digest: Some(manifest.digest.clone()) }
}
