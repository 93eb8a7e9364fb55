//! Writes `report.json`, a [`model::Report`], piece by piece.

use std::io::{self, Write};
use std::path::Path;

use proto::digest::Hasher;
use serde::Serialize;

use crate::report::draft::Draft;
use crate::report::{JSON, model};

/// What follows the images in a [`model::Report`], in its order.
#[derive(Serialize)]
pub(super) struct Rest {
    pub(super) causes: Vec<model::CauseSection>,
    pub(super) owners: Vec<model::ShareSection>,
    pub(super) registries: Vec<model::ShareSection>,
    pub(super) unlisted: Vec<model::UnlistedSection>,
    pub(super) warnings: Vec<String>,
    pub(super) totals: model::Totals,
    pub(super) spent: model::SpentSection,
}

/// The document as far as it is written.
pub(super) struct Document {
    draft: Draft,
    hasher: Hasher,
    is_first: bool,
}

impl Document {
    pub(super) fn create(folder: &Path, run: &model::RunSection) -> io::Result<Self> {
        let mut document = Self { draft: Draft::create(folder, JSON)?, hasher: Hasher::sha256(), is_first: true };
        let run = serde_json::to_string(run)?;
        document.put(&format!("{{\"version\":{},\n\"run\":{run},\n\"images\":[", model::VERSION))?;
        Ok(document)
    }

    pub(super) fn image(&mut self, image: &model::ImageSection) -> io::Result<()> {
        let separator = if std::mem::take(&mut self.is_first) { "\n" } else { ",\n" };
        let image = serde_json::to_string(image)?;
        self.put(separator)?;
        self.put(&image)
    }

    /// The digest of the whole document.
    pub(super) fn finish(mut self, rest: &Rest) -> io::Result<proto::Digest> {
        let rest = serde_json::to_string(rest)?;
        // `rest` is an object of its own: its fields continue ours.
        self.put("\n],\n")?;
        self.put(rest.trim_start_matches('{'))?;
        self.put("\n")?;
        self.draft.finish()?;
        Ok(self.hasher.finish())
    }

    fn put(&mut self, text: &str) -> io::Result<()> {
        self.hasher.update(text.as_bytes());
        self.draft.write_all(text.as_bytes())
    }
}
