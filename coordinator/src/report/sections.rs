//! From what the Store says to sections of the document.

use std::time::Duration;

use backends::store::{ReportDestination, ReportRow, Run, RunEnd};
use proto::outcome::{Spent, StageTime};

use crate::report::model::{self, FailureSection};

impl From<&proto::Failure> for FailureSection {
    fn from(failure: &proto::Failure) -> Self {
        Self {
            stage: failure.stage.map(|stage| stage.to_string()),
            code: failure.code.to_string(),
            class: failure.class.as_str().to_owned(),
            message: failure.message.clone(),
            hint: failure.hint.clone(),
        }
    }
}

pub(super) fn run(run: &Run) -> model::RunSection {
    let end = match run.ended {
        Some((RunEnd::Finished, _)) => model::RunEnd::Finished,
        _ => model::RunEnd::Interrupted,
    };
    model::RunSection {
        id: run.id.to_string(),
        job: run.job.clone(),
        file_digest: run.file_digest.to_string(),
        commit: run.git_commit.clone(),
        only: run.only.clone(),
        started_by: run.started_by.clone(),
        started_at: run.started_at.to_string(),
        ended_at: run.ended.map_or(run.started_at, |(_, at)| at).to_string(),
        end,
        program: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

pub(super) fn image(row: &ReportRow) -> model::ImageSection {
    let stage = |time: &StageTime| model::StageSection { stage: time.stage.to_string(), ms: time.ms };
    let destination = |destination: &ReportDestination| model::DestinationSection {
        destination: destination.location.to_string(),
        group: destination.origin.group.clone(),
        owner: destination.origin.owner.clone(),
        kind: destination.origin.kind.to_string(),
        rule: destination.origin.rule.clone(),
        place: destination.origin.place.clone(),
        platforms: destination.content.platforms.to_string(),
        referrers: destination.content.referrers.to_string(),
        outcome: destination.outcome.as_str().to_owned(),
        digest: destination.digest.as_ref().map(ToString::to_string),
        failure: destination.failure.as_ref().map(Into::into),
        again_at: destination.again_at.map(|at| at.to_string()),
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

pub(super) fn spent(run: &Run, spent: &Spent) -> model::SpentSection {
    model::SpentSection {
        ms: took(run).as_millis().try_into().unwrap_or(u64::MAX),
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

/// Wall time of a run.
pub(super) fn took(run: &Run) -> Duration {
    run.ended.map(|(_, at)| at.duration_since(run.started_at).unsigned_abs()).unwrap_or_default()
}
