//! What a person reads first: totals, causes of failure, what was spent and saved.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

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

/// One cause why images failed, or were postponed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// What became of them.
    pub outcome: String,
    /// Its code.
    pub code: String,
    /// How many destinations of how many images it hit; the first few by name.
    pub count: u64,
    /// The first images that it hit.
    pub images: Vec<String>,
    /// What the first of them came back with.
    pub message: String,
    /// What a person can do.
    pub hint: Option<String>,
}

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

/// Folds the images of a report into causes, most frequent first.
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
                for destination in image.destinations {
                    if let Some(failure) = destination.failure {
                        note(&mut causes, &image.source, destination.outcome, failure);
                    }
                }
            }
            let mut causes: Vec<Cause> = causes.into_values().collect();
            causes.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.code.cmp(&b.code)));
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

fn note(causes: &mut BTreeMap<(String, String), Cause>, image: &str, outcome: String, failure: model::FailureSection) {
    let cause = causes.entry((outcome.clone(), failure.code.clone())).or_insert_with(|| Cause {
        outcome,
        code: failure.code,
        count: 0,
        images: Vec::new(),
        message: failure.message,
        hint: failure.hint,
    });
    cause.count += 1;
    if cause.images.len() < NAMED && cause.images.last().map(String::as_str) != Some(image) {
        cause.images.push(image.to_owned());
    }
}
