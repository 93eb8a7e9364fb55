//! What a person reads first: totals, causes of failure, what was spent and saved.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use serde::Deserialize;

use crate::report::model;

/// A report without its images.
#[derive(Debug, Deserialize)]
pub struct Summary {
    /// The run.
    pub run: model::RunSection,
    /// Why images failed, or were postponed. Older documents do not say.
    #[serde(default)]
    pub causes: Vec<model::CauseSection>,
    /// How images ended at each registry that they went to. Older documents do not say.
    #[serde(default)]
    pub registries: Vec<model::ShareSection>,
    /// Repositories that could not be surveyed.
    pub unlisted: Vec<model::UnlistedSection>,
    /// What is worth a look and is no failure.
    pub warnings: Vec<String>,
    /// How many images ended how.
    pub totals: model::Totals,
    /// What the run took and saved.
    pub spent: model::SpentSection,
}

impl Summary {
    /// Reads the summary of a written `report.json`; its images pass by and are not kept.
    ///
    /// # Errors
    /// The file cannot be read, or is no report.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_reader(BufReader::new(File::open(path)?))?)
    }
}
