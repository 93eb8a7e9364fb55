//! The tools for each task: by the settings of its run, which are read once and kept for the next tasks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backends::Evidence;
use daemon::ErrorChain;
use proto::{Bundle, Class, Code, Digest, Failure, Task};
use registry::{Client, Options};
use tokio::sync::OnceCell;

use crate::context::Tools;

/// Settings that are kept at once: one for each job file, and those that these had before they changed.
const BUNDLES_MAX: usize = 16;

/// How long a task is put off whose settings cannot be had.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Gives each task its tools. Clones share them.
#[derive(Clone)]
pub struct Workshop {
    /// What all tasks share; of one without settings of its own, all there is.
    common: Tools,
    bundles: Option<Arc<Bundles>>,
}

/// Tools by the settings that they were made of.
struct Bundles {
    evidence: Evidence,
    options: Options,
    /// The one used last comes last.
    known: Mutex<Vec<(Digest, Place)>>,
}

/// Where the tools for some settings are made, by the first who needs them.
type Place = Arc<OnceCell<Tools>>;

impl From<Tools> for Workshop {
    /// The same tools for all tasks, for a worker that runs one job file.
    fn from(tools: Tools) -> Self {
        Self { common: tools, bundles: None }
    }
}

impl Workshop {
    /// Tools by the settings that tasks name, which lie in `evidence`; `options` is what clients are told beside them.
    pub fn by_bundle(common: Tools, evidence: Evidence, options: Options) -> Self {
        Self { common, bundles: Some(Arc::new(Bundles { evidence, options, known: Mutex::default() })) }
    }

    /// What all tasks share.
    pub(crate) fn common(&self) -> &Tools {
        &self.common
    }

    /// The tools for a task.
    ///
    /// # Errors
    /// Its settings cannot be read, and how long to wait before it is tried again.
    pub(crate) async fn tools(&self, task: &Task) -> Result<Tools, (Failure, Duration)> {
        let (Some(bundles), Some(digest)) = (&self.bundles, &task.bundle) else { return Ok(self.common.clone()) };
        let place = bundles.place(digest);
        let made = place.get_or_try_init(|| bundles.make(&self.common, digest)).await;
        made.cloned().map_err(|message| {
            let hint = "look whether the workers reach the evidence store, and its log";
            (Failure::new(None, Code::EvidenceUnavailable, Class::Defer, &message, Some(hint)), AGAIN_AFTER)
        })
    }

    /// Waits for what goes on for uploads that nobody waits for any more.
    pub(crate) async fn settled(&self) {
        self.common.places.settled().await;
        let known = self.bundles.iter().flat_map(|bundles| bundles.all());
        for tools in known.collect::<Vec<_>>() {
            tools.places.settled().await;
        }
    }
}

impl Bundles {
    fn place(&self, digest: &Digest) -> Place {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.iter().position(|(other, _)| other == digest).map(|at| known.remove(at));
        let (digest, place) = found.unwrap_or_else(|| (digest.clone(), Place::default()));
        known.push((digest, place.clone()));
        if known.len() > BUNDLES_MAX {
            known.remove(0);
        }
        place
    }

    fn all(&self) -> Vec<Tools> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter_map(|(_, place)| place.get().cloned()).collect()
    }

    async fn make(&self, common: &Tools, digest: &Digest) -> Result<Tools, String> {
        let document = self.evidence.read(digest).await.map_err(|error| ErrorChain(&error).to_string())?;
        let bundle = Bundle::from_json(&document);
        let bundle = bundle.map_err(|error| format!("read the settings `{digest}` of the run: {error}"))?;
        let client = Client::new(&bundle.access, self.options.clone());
        let client = client.map_err(|error| format!("use the settings of the run: {}", ErrorChain(&error)))?;
        Ok(common.reaching(client))
    }
}
