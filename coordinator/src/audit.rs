//! What was placed becomes tasks again, to be read back: nothing is listed, and nothing new is copied.

use std::collections::HashSet;

use backends::store::{Candidate, Kept, NewDestination, NewTask, affordable};
use backends::{Store, StoreError};
use daemon::crash::{Effect, around};
use daemon::run_span;
use jiff::Timestamp;
use jobfile::Job;
use proto::task::Fingerprint;
use proto::{ImageRef, LayoutRef, Location, RunId};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::coordinator::Coordinator;
use crate::error::CoordinatorError;
use crate::expand::Only;

/// Placements read at once: each page goes through all of a job's.
const PAGE: usize = 5_000;

/// How the text ends that says to what such a run is limited; no glob that reaches a repository ends so.
const READ_BACK: &str = ", read back";

/// Which placements of a job are read back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// Whether all of them are, or those whose turn it is.
    pub all: bool,
    /// Globs that a placement's source must match.
    pub only: Only,
}

impl Audit {
    /// What the run is limited to, for its report.
    pub fn text(&self) -> String {
        let what = if self.all { "what was placed" } else { "what was placed and verified least recently" };
        let of = self.only.text().map(|globs| format!(" of {globs}")).unwrap_or_default();
        format!("{what}{of}{READ_BACK}")
    }

    /// Whether the run that was limited to `only` read back what was placed.
    pub fn is_named_by(only: &str) -> bool {
        only.ends_with(READ_BACK)
    }

    /// How many placements of a job may be read back, or could be if their sources were on record.
    ///
    /// # Errors
    /// The Store does not answer.
    pub async fn placements(&self, store: &Store, job: &str) -> Result<usize, StoreError> {
        let (mut pages, mut placements) = (Pages::of(store, job), 0);
        while let Some(page) = pages.next().await? {
            placements += page.iter().filter(|kept| self.takes(kept)).count();
        }
        Ok(placements)
    }

    /// A placement whose source is not known may be any.
    fn takes(&self, kept: &Kept) -> bool {
        kept.source.as_ref().is_none_or(|source| self.only.matches(&source.to_string()))
    }

    /// Those whose turn it is: in doubt, or verified least recently, as many as one run may pay for.
    async fn sample(&self, store: &Store, (name, job): (&str, &Job)) -> Result<HashSet<Location>, StoreError> {
        let (mut pages, mut found) = (Pages::of(store, name), Vec::new());
        while let Some(page) = pages.next().await? {
            let taken = page.into_iter().filter(|kept| self.takes(kept) && pinned(kept).is_some());
            found.extend(taken.map(|kept| (kept.verified_at, kept.destination.location, kept.parts)));
        }
        found.sort();
        let candidate = |(_, location, parts)| Candidate { location, parts, is_due: true };
        Ok(affordable(&found.into_iter().map(candidate).collect::<Vec<_>>(), job.verify_at_most))
    }
}

impl Coordinator {
    /// Writes the tasks of a run that reads back what its job has placed, wanted by the file or not: of each source at
    /// the digest that was placed, one task. After `stop` the run counts as not expanded.
    ///
    /// # Errors
    /// The Store does not take the tasks.
    pub(crate) async fn expand_placements(
        &self,
        run: RunId,
        job: &Job,
        audit: &Audit,
        stop: &CancellationToken,
    ) -> Result<(), CoordinatorError> {
        let all = self.write_audits(run, job, audit).instrument(run_span!("expand", run));
        if let Some(written) = stop.run_until_cancelled(all).await {
            written?;
            around(Effect::RunExpanded, self.store.set_expanded(run, Timestamp::now())).await?;
            self.run_finished.notify_one();
        }
        Ok(())
    }

    async fn write_audits(&self, run: RunId, job: &Job, audit: &Audit) -> Result<(), CoordinatorError> {
        let name = self.store.run(run).await?.job;
        let sample = if audit.all { None } else { Some(audit.sample(&self.store, (&name, job)).await?) };
        let mut pages = Pages::of(&self.store, &name);
        let (mut tasks, mut unknown) = (Vec::<NewTask>::new(), 0_u64);
        let mut unmet = audit.only.unmet();
        while let Some(page) = pages.next().await? {
            for kept in page.into_iter().filter(|kept| audit.takes(kept)) {
                let Some(source) = pinned(&kept) else {
                    unknown += 1;
                    continue;
                };
                unmet.retain(|glob| !glob.matches(&source.to_string()));
                if sample.as_ref().is_some_and(|sample| !sample.contains(&kept.destination.location)) {
                    continue;
                }
                let destination = NewDestination { read_back: true, ..kept.destination };
                match tasks.last_mut().filter(|task| task.source == source) {
                    Some(task) => task.destinations.push(destination),
                    None => tasks.push(NewTask::new(source, vec![destination])),
                }
            }
            // The last one may have more destinations on the next page.
            let last = tasks.pop();
            self.add(run, &tasks, &[], Timestamp::now()).await?;
            tasks = last.into_iter().collect();
        }
        self.add(run, &tasks, &[], Timestamp::now()).await?;
        let meant = unmet.into_iter().filter(|glob| job.sources.iter().any(|source| glob.reaches(&source.location)));
        let unmet = meant.map(|glob| format!("nothing that was placed matches `{}`", glob.text()));
        for warning in unmet.chain(warning_of_unknown(unknown)) {
            self.store.add_warning(run, &warning).await?;
        }
        Ok(())
    }
}

/// A warning of placements that cannot be read back, since nobody knows of what they were made.
fn warning_of_unknown(placements: u64) -> Option<String> {
    let rest = "not read back: the next run that sees what it was made of keeps that";
    match placements {
        0 => None,
        1 => Some(format!("1 placement is older than this program's records and was {rest}")),
        more => Some(format!("{more} placements are older than this program's records and were {rest}")),
    }
}

/// The source of a placement at the digest that was placed; none if that is not on record as what was placed.
fn pinned(kept: &Kept) -> Option<Location> {
    let digest = kept.source_digest.clone()?;
    if kept.placed.fingerprint != Fingerprint::of_copy(&digest, &kept.destination.content) {
        return None;
    }
    match kept.source.clone()? {
        Location::Registry(image) => Some(Location::Registry(ImageRef { digest: Some(digest), ..image })),
        Location::Layout(LayoutRef { path, name }) => {
            let image = ImageRef { digest: Some(digest), ..name?.parse().ok()? };
            Some(Location::Layout(LayoutRef { path, name: Some(image.to_string()) }))
        }
        Location::Archive(_) => None,
    }
}

/// The placements of a job, page by page.
struct Pages<'a> {
    store: &'a Store,
    job: &'a str,
    after: Option<(String, String)>,
}

impl<'a> Pages<'a> {
    fn of(store: &'a Store, job: &'a str) -> Self {
        Self { store, job, after: None }
    }

    async fn next(&mut self) -> Result<Option<Vec<Kept>>, StoreError> {
        let page = self.store.kept(self.job, self.after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(None) };
        self.after = Some(last.at.clone());
        Ok(Some(page))
    }
}
