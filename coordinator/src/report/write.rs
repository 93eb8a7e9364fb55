//! Writes `report.json` row by row.

use std::fs::Permissions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use backends::Store;
use backends::store::{ReportRow, Run, RunEnd, RunReport};
use daemon::crash::{self, Effect};
use proto::digest::Hasher;
use serde::Serialize;

use crate::error::CoordinatorError;
use crate::report::model;

/// Rows read at once.
const PAGE: usize = 500;

/// Writes the report of an ended run to `folder/RUN/report.json`, whole or not at all.
pub(crate) async fn write(store: &Store, run: &Run, folder: &Path) -> Result<RunReport, CoordinatorError> {
    let folder = folder.join(run.id.to_string());
    let path = folder.join("report.json");
    let failed = |source| CoordinatorError::Report { path: path.display().to_string(), source };
    make_empty(&folder).map_err(failed)?;
    let mut document = Document::create(&folder).map_err(failed)?;
    document.begin(&run_section(run)).map_err(failed)?;

    let (mut totals, mut spent, mut unlisted) =
        (model::Totals::default(), proto::outcome::Spent::default(), Vec::new());
    let mut after: Option<String> = None;
    loop {
        let rows = store.report_rows(run.id, after.as_deref(), PAGE).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.source.clone());
        for row in rows {
            match &row.failure {
                Some(failure) => {
                    totals.unlisted += 1;
                    unlisted.push(model::UnlistedSection { repository: row.source, failure: failure.into() });
                }
                None => {
                    totals.count(row.outcome);
                    spent += row.spent;
                    document.image(&image_section(&row)).map_err(failed)?;
                }
            }
        }
    }

    let rest = Rest { unlisted, warnings: store.warnings(run.id).await?, totals, spent: spent_section(run, &spent) };
    let digest = document.finish(&rest, &path).map_err(failed)?;
    Ok(RunReport { digest, path: path.display().to_string() })
}

/// Makes a folder in which nothing lies: a writer that was killed may have left a part of a report.
fn make_empty(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => std::fs::create_dir_all(folder),
    }
}

/// What follows the images in a [`model::Report`], in its order.
#[derive(Serialize)]
struct Rest {
    unlisted: Vec<model::UnlistedSection>,
    warnings: Vec<String>,
    totals: model::Totals,
    spent: model::SpentSection,
}

/// A [`model::Report`] that is written piece by piece into a file without a name.
struct Document {
    file: BufWriter<tempfile::NamedTempFile>,
    hasher: Hasher,
    is_first: bool,
}

impl Document {
    fn create(folder: &Path) -> std::io::Result<Self> {
        // Readable for whom the umask allows; by default only its owner could read it.
        let file = tempfile::Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(folder)?;
        Ok(Self { file: BufWriter::new(file), hasher: Hasher::sha256(), is_first: true })
    }

    fn begin(&mut self, run: &model::RunSection) -> std::io::Result<()> {
        let run = serde_json::to_string(run)?;
        self.put(&format!("{{\"version\":{},\n\"run\":{run},\n\"images\":[", model::VERSION))
    }

    fn image(&mut self, image: &model::ImageSection) -> std::io::Result<()> {
        let separator = if std::mem::take(&mut self.is_first) { "\n" } else { ",\n" };
        let image = serde_json::to_string(image)?;
        self.put(separator)?;
        self.put(&image)
    }

    fn finish(mut self, rest: &Rest, path: &PathBuf) -> std::io::Result<proto::Digest> {
        let rest = serde_json::to_string(rest)?;
        // `rest` is an object of its own: its fields continue ours.
        self.put("\n],\n")?;
        self.put(rest.trim_start_matches('{'))?;
        self.put("\n")?;
        let file = self.file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        crash::before(Effect::ReportRename);
        file.persist(path)?;
        crash::after(Effect::ReportRename);
        Ok(self.hasher.finish())
    }

    fn put(&mut self, text: &str) -> std::io::Result<()> {
        self.hasher.update(text.as_bytes());
        self.file.write_all(text.as_bytes())
    }
}

fn run_section(run: &Run) -> model::RunSection {
    let end = match run.ended {
        Some((RunEnd::Finished, _)) => model::RunEnd::Finished,
        _ => model::RunEnd::Interrupted,
    };
    model::RunSection {
        id: run.id.to_string(),
        job: run.job.clone(),
        file_digest: run.file_digest.to_string(),
        commit: run.git_commit.clone(),
        started_by: run.started_by.clone(),
        started_at: run.started_at.to_string(),
        ended_at: run.ended.map_or(run.started_at, |(_, at)| at).to_string(),
        end,
        program: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn image_section(row: &ReportRow) -> model::ImageSection {
    let stage = |time: &proto::outcome::StageTime| model::StageSection { stage: time.stage.to_string(), ms: time.ms };
    let destination = |destination: &backends::store::ReportDestination| model::DestinationSection {
        destination: destination.location.to_string(),
        outcome: destination.outcome.as_str().to_owned(),
        digest: destination.digest.as_ref().map(ToString::to_string),
        failure: destination.failure.as_ref().map(Into::into),
    };
    model::ImageSection {
        source: row.source.clone(),
        source_digest: row.source_digest.as_ref().map(ToString::to_string),
        outcome: row.outcome.as_str().to_owned(),
        attempts: row.attempts,
        started_at: row.started_at.map(|at| at.to_string()),
        ended_at: row.ended_at.to_string(),
        stages: row.stages.iter().map(stage).collect(),
        bytes_written: row.spent.bytes_written,
        bytes_saved: row.spent.bytes_skipped + row.spent.bytes_mounted,
        destinations: row.destinations.iter().map(destination).collect(),
    }
}

fn spent_section(run: &Run, spent: &proto::outcome::Spent) -> model::SpentSection {
    let took = run.ended.map(|(_, at)| at.duration_since(run.started_at).unsigned_abs()).unwrap_or_default();
    model::SpentSection {
        ms: took.as_millis().try_into().unwrap_or(u64::MAX),
        bytes_read: spent.bytes_read,
        bytes_written: spent.bytes_written,
        bytes_skipped: spent.bytes_skipped,
        bytes_mounted: spent.bytes_mounted,
        blobs_written: spent.blobs_written,
        blobs_skipped: spent.blobs_skipped,
        blobs_mounted: spent.blobs_mounted,
        manifests_written: spent.manifests_written,
    }
}
