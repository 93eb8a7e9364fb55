//! Which children of an index go to a destination that wants some platforms alone, and what becomes of the index.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use proto::content::{IndexForm, Platforms};
use proto::limits::{INDEX_DEPTH_MAX, MANIFESTS_PER_IMAGE_MAX};
use proto::manifest::{Content, Descriptor, Manifest};
use proto::{Digest, Platform};
use registry::BlobSource;

use crate::context::TaskContext;
use crate::failure::StageError;
use crate::source::Source;
use crate::stage::concurrently;

/// Indexes read at once.
const CONCURRENCY: usize = 4;

/// The largest configuration that is read to know an image's platform; they have some KiB.
const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// Beginnings of the media types of images' configurations; those of artifacts name no platform.
const IMAGE_CONFIGS: [&str; 2] = ["application/vnd.oci.image.config.", "application/vnd.docker.container.image."];

/// By this annotation, a child for `unknown/unknown` names the child that it attests (BuildKit, attestation-storage.md).
const ATTESTED: &str = "vnd.docker.reference.digest";
const UNKNOWN: &str = "unknown";

/// An image with the wanted platforms alone.
pub(crate) struct Narrowed {
    /// The manifest that gets the name.
    pub(crate) top: Arc<Manifest>,
    /// The indexes below it of which not all is carried, by the digests under which they go there. Those that keep
    /// their bytes are without the children that are not carried here too.
    pub(crate) indexes: HashMap<Digest, Arc<Manifest>>,
    /// Of the indexes that were written anew, by their new digests: those at the source.
    pub(crate) rewritten: BTreeMap<Digest, Digest>,
    /// Whether an index names what is not carried.
    pub(crate) is_sparse: bool,
}

/// What goes to a destination of what the source shows.
pub(crate) async fn narrow(
    cx: &TaskContext,
    source: &Source<'_>,
    platforms: &Platforms,
) -> Result<Narrowed, StageError> {
    let top = source.manifest(&source.digest).await?;
    let whole = Narrowed { top, indexes: HashMap::new(), rewritten: BTreeMap::new(), is_sparse: false };
    let Platforms::Only { platforms: wanted, index: form } = platforms else { return Ok(whole) };
    if !whole.top.is_index() {
        warn_of_other_platform(cx, source, &whole.top, wanted).await?;
        return Ok(whole);
    }
    let indexes = indexes_below(source, &whole.top).await?;
    let mut selection = Selection::new(wanted, *form, &indexes);
    let Some(top) = selection.index(&whole.top)? else { return Err(selection.nothing_left()) };
    selection.warn(cx, &source.digest);
    let Selection { carried, rewritten, is_sparse, .. } = selection;
    Ok(Narrowed { top, indexes: carried, rewritten, is_sparse })
}

/// A manifest that is no index is copied whatever it is for, since that is known only by its configuration.
async fn warn_of_other_platform(
    cx: &TaskContext,
    source: &Source<'_>,
    image: &Manifest,
    wanted: &BTreeSet<Platform>,
) -> Result<(), StageError> {
    let Content::Image { config, .. } = &image.content else { return Ok(()) };
    if !IMAGE_CONFIGS.iter().any(|kind| config.media_type.starts_with(kind)) {
        return Ok(());
    }
    let platform = if config.size > CONFIG_BYTES_MAX {
        None
    } else {
        let blob = source.open(config).await.map_err(StageError::Source)?;
        Platform::of_config(&blob.bytes(CONFIG_BYTES_MAX).await.map_err(StageError::Source)?)
    };
    if platform.as_ref().is_none_or(|platform| !satisfies_any(platform, wanted)) {
        let other = platform.map_or_else(|| "an unknown platform".to_owned(), |platform| listed([&platform]));
        cx.warn(format!("{} is no index but one image, for {other}; it was copied all the same", source.digest));
    }
    Ok(())
}

/// All indexes below `top`, by the digests that their parents name.
async fn indexes_below(source: &Source<'_>, top: &Arc<Manifest>) -> Result<HashMap<Digest, Arc<Manifest>>, StageError> {
    let mut known = HashMap::new();
    let mut level = vec![top.clone()];
    for _depth in 0..=INDEX_DEPTH_MAX {
        let children = level.iter().flat_map(|index| index.children());
        let indexes = children.filter(|child| child.is_index() && !known.contains_key(&child.digest));
        let new: BTreeSet<Digest> = indexes.map(|child| child.digest.clone()).collect();
        if new.is_empty() {
            return Ok(known);
        }
        if known.len() + new.len() > MANIFESTS_PER_IMAGE_MAX {
            return Err(StageError::TooLarge);
        }
        level = concurrently(CONCURRENCY, new.iter().map(|digest| source.manifest(digest))).await?;
        known.extend(new.into_iter().zip(level.iter().cloned()));
    }
    Err(StageError::TooLarge)
}

/// Goes through an index and those below it.
struct Selection<'a> {
    wanted: &'a BTreeSet<Platform>,
    form: IndexForm,
    /// The indexes below the top one.
    indexes: &'a HashMap<Digest, Arc<Manifest>>,
    /// What became of the indexes; none where nothing was left. Many may name the same one.
    done: HashMap<Digest, Option<Arc<Manifest>>>,
    carried: HashMap<Digest, Arc<Manifest>>,
    rewritten: BTreeMap<Digest, Digest>,
    is_sparse: bool,
    /// The platforms that children are for.
    offered: BTreeSet<Platform>,
    /// Children that do not say what they are for.
    unnamed: usize,
}

impl<'a> Selection<'a> {
    fn new(wanted: &'a BTreeSet<Platform>, form: IndexForm, indexes: &'a HashMap<Digest, Arc<Manifest>>) -> Self {
        Self {
            wanted,
            form,
            indexes,
            done: HashMap::new(),
            carried: HashMap::new(),
            rewritten: BTreeMap::new(),
            is_sparse: false,
            offered: BTreeSet::new(),
            unnamed: 0,
        }
    }

    /// The index as it goes to the destination; none if nothing of it does.
    fn index(&mut self, index: &Arc<Manifest>) -> Result<Option<Arc<Manifest>>, StageError> {
        if let Some(known) = self.done.get(&index.digest) {
            return Ok(known.clone());
        }
        let own = index.children();
        let mut kept = own.iter().map(|child| self.child(child)).collect::<Result<Vec<_>, _>>()?;
        keep_attestations(own, &mut kept);
        let narrowed = if kept.iter().all(Option::is_none) {
            None
        } else if kept.iter().map(Option::as_ref).eq(own.iter().map(Some)) {
            Some(index.clone())
        } else {
            Some(Arc::new(self.without_the_rest(index, kept)?))
        };
        self.done.insert(index.digest.clone(), narrowed.clone());
        Ok(narrowed)
    }

    fn child(&mut self, child: &Descriptor) -> Result<Option<Descriptor>, StageError> {
        if let Some(index) = self.indexes.get(&child.digest).filter(|index| index.is_index()) {
            let Some(narrowed) = self.index(index)? else { return Ok(None) };
            let mut kept = child.clone();
            if narrowed.digest != index.digest {
                kept.digest.clone_from(&narrowed.digest);
                kept.size = narrowed.raw.len() as u64;
            }
            self.carried.insert(kept.digest.clone(), narrowed);
            return Ok(Some(kept));
        }
        let Some(platform) = &child.platform else {
            self.unnamed += 1;
            return Ok(None);
        };
        if platform.os != UNKNOWN {
            self.offered.insert(platform.clone());
        }
        Ok(satisfies_any(platform, self.wanted).then(|| child.clone()))
    }

    fn without_the_rest(&mut self, index: &Manifest, kept: Vec<Option<Descriptor>>) -> Result<Manifest, StageError> {
        match self.form {
            IndexForm::Rewrite => {
                let written = index.with_children(&kept).map_err(StageError::Index)?;
                self.rewritten.insert(written.digest.clone(), index.digest.clone());
                Ok(written)
            }
            IndexForm::Sparse => {
                self.is_sparse = true;
                Ok(Manifest { content: Content::Index(kept.into_iter().flatten().collect()), ..index.clone() })
            }
        }
    }

    fn nothing_left(&self) -> StageError {
        let offered = if self.offered.is_empty() { "none by name".to_owned() } else { listed(&self.offered) };
        StageError::NoPlatform { wanted: listed(self.wanted), offered }
    }

    /// Says what somebody may miss at the destination.
    fn warn(&self, cx: &TaskContext, top: &Digest) {
        let is_absent = |wanted: &&Platform| !self.offered.iter().any(|platform| platform.satisfies(wanted));
        let absent: Vec<_> = self.wanted.iter().filter(is_absent).collect();
        if !absent.is_empty() {
            cx.warn(format!("the index {top} has nothing for {}", listed(absent)));
        }
        if self.unnamed > 0 {
            cx.warn(format!("of the index {top}, what names no platform was left out: {}", self.unnamed));
        }
    }
}

/// Attestations go with the child that they are about, as long as it has the digest that they name.
fn keep_attestations(own: &[Descriptor], kept: &mut [Option<Descriptor>]) {
    let carried: HashSet<Digest> = kept.iter().flatten().map(|child| child.digest.clone()).collect();
    for (child, kept) in own.iter().zip(kept).filter(|(_, kept)| kept.is_none()) {
        let is_attestation = child.platform.as_ref().is_some_and(|platform| platform.os == UNKNOWN);
        let attested = child.annotations.get(ATTESTED).and_then(|digest| digest.parse().ok());
        if is_attestation && attested.is_some_and(|digest: Digest| carried.contains(&digest)) {
            *kept = Some(child.clone());
        }
    }
}

fn satisfies_any(platform: &Platform, wanted: &BTreeSet<Platform>) -> bool {
    wanted.iter().any(|wanted| platform.satisfies(wanted))
}

fn listed<'a>(platforms: impl IntoIterator<Item = &'a Platform>) -> String {
    let names: Vec<_> = platforms.into_iter().map(|platform| format!("`{platform}`")).collect();
    names.join(", ")
}
