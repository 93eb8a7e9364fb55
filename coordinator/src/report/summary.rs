//! What a person reads first: totals, causes of failure, what was spent and saved.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use proto::{Host, Location};
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use crate::report::model;

/// A report without its images, but with what went wrong among them.
#[derive(Debug, Deserialize)]
pub struct Summary {
    /// The run.
    pub run: model::RunSection,
    /// Failed and postponed images, by cause.
    #[serde(rename = "images", deserialize_with = "causes")]
    pub causes: Vec<Cause>,
    /// Repositories that could not be surveyed.
    pub unlisted: Vec<model::UnlistedSection>,
    /// What is worth a look and is no failure.
    pub warnings: Vec<String>,
    /// How many images ended how.
    pub totals: model::Totals,
    /// What the run took and saved.
    pub spent: model::SpentSection,
}

/// One cause why images failed, or were postponed: a code at one registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// What became of them.
    pub outcome: String,
    /// Its code.
    pub code: String,
    /// The registry where it happened; none if a layout, or this program, is to blame.
    pub host: Option<Host>,
    /// How many images it hit.
    pub images: u64,
    /// At how many of their destinations.
    pub destinations: u64,
    /// The first of these images.
    pub first: Vec<String>,
    /// What the first of them came back with.
    pub message: String,
    /// What a person can do.
    pub hint: Option<String>,
}

/// Tells causes apart: outcome, code and registry.
type Key = (String, String, Option<Host>);

/// Images named for a cause.
const NAMED: usize = 3;

impl Summary {
    /// Reads the summary of a written report; its images pass one by one.
    ///
    /// # Errors
    /// The file cannot be read, or is no report.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_reader(BufReader::new(File::open(path)?))?)
    }
}

/// Folds the images of a report into causes, most frequent first, else by their names.
fn causes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Cause>, D::Error> {
    struct Fold;

    impl<'de> Visitor<'de> for Fold {
        type Value = Vec<Cause>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("the images of a report")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut images: A) -> Result<Vec<Cause>, A::Error> {
            let mut causes = BTreeMap::new();
            while let Some(image) = images.next_element::<Failed>()? {
                note(&mut causes, image);
            }
            let mut causes: Vec<Cause> = causes.into_values().collect();
            causes.sort_by_key(|cause| std::cmp::Reverse(cause.images));
            Ok(causes)
        }
    }

    deserializer.deserialize_seq(Fold)
}

/// What of an image matters here.
#[derive(Deserialize)]
struct Failed {
    source: String,
    destinations: Vec<model::DestinationSection>,
}

fn note(causes: &mut BTreeMap<Key, Cause>, image: Failed) {
    let mut hit = BTreeSet::new();
    for destination in image.destinations {
        let Some(failure) = destination.failure else { continue };
        let host = host(&failure.code, &image.source, &destination.destination);
        let key = (destination.outcome.clone(), failure.code.clone(), host.clone());
        let cause = causes.entry(key.clone()).or_insert_with(|| Cause {
            outcome: destination.outcome,
            code: failure.code,
            host,
            images: 0,
            destinations: 0,
            first: Vec::new(),
            message: failure.message,
            hint: failure.hint,
        });
        cause.destinations += 1;
        if hit.insert(key) {
            cause.images += 1;
            if cause.first.len() < NAMED {
                cause.first.push(image.source.clone());
            }
        }
    }
}

/// The registry that a code speaks of, if it is one.
fn host(code: &str, source: &str, destination: &str) -> Option<Host> {
    let place = match code.split_once('_')?.0 {
        "source" => source,
        "destination" | "target" => destination,
        _ => return None,
    };
    match place.parse() {
        Ok(Location::Registry(image)) => Some(image.repository.host().clone()),
        _ => None,
    }
}
