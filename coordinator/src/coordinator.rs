//! The coordinator: its loops, and what wakes them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use backends::store::{ReportRow, Waiting};
use backends::{Ledger, Queue, Store};
use daemon::Metrics;
use daemon::crash::{Effect, around};
use jiff::Timestamp;
use proto::{Failure, RunId, limits};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

use crate::error::CoordinatorError;
use crate::report::Reports;

/// Events kept for a listener that is behind; what it misses it can read in the Store.
const EVENTS_KEPT: usize = 1_024;

/// How often a loop may fail in a row before the coordinator gives up: a full disk must not look like slow work. That the
/// Queue is out of reach is no failure.
const FAILURES_IN_A_ROW_MAX: u32 = 5;

/// Everything in time that a coordinator does.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Delays before the second and the third try, of tasks and of surveys.
    pub retry_after: [Duration; 2],
    /// How often a loop looks although nobody woke it.
    pub tick: Duration,
    /// Tasks on the Queue at once: enough to keep all slots busy, few enough to stay fair.
    pub window: usize,
    /// Whether it stays on, as in a fleet: it goes on trying however often a step fails, and waits for deferred tasks until
    /// the time of their run is over.
    pub stays: bool,
}

/// A loop that looks more often would be busy with that.
const TICK_MIN: Duration = Duration::from_millis(20);

impl Pace {
    /// The pace for workers with `slots` slots in all.
    pub fn for_slots(slots: usize) -> Self {
        Self {
            retry_after: [limits::SECOND_TRY_AFTER, limits::THIRD_TRY_AFTER],
            tick: Duration::from_secs(1),
            window: slots * limits::TASKS_PER_SLOT,
            stays: false,
        }
    }

    /// The same with other delays between tries, and looking often enough that no try comes much later.
    #[must_use]
    pub fn with_retry_after(self, retry_after: [Duration; 2]) -> Self {
        let tick = self.tick.min(retry_after[0]).max(TICK_MIN);
        Self { retry_after, tick, ..self }
    }
}

/// What a listener hears while runs go on.
#[derive(Debug, Clone)]
pub enum Event {
    /// An image came to its end, and was not up to date.
    Ended(ReportRow),
    /// An attempt is over, and there will be another one at this destination.
    Waits(Waiting),
    /// A repository could not be listed, or not all of it is carried.
    Unlisted {
        /// The repository.
        repository: String,
        /// Why.
        failure: Failure,
    },
}

/// Expands, dispatches, collects and closes the runs of one Store.
pub struct Coordinator {
    pub(crate) store: Store,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) pace: Pace,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) reports: Reports,
    /// What is heard of the workers of a fleet; none where there is one, in this process.
    pub(crate) crew: Option<Arc<dyn Ledger>>,
    pub(crate) events: broadcast::Sender<Event>,
    /// When the Queue's lane of tasks was seen empty, since lost ones were last looked for.
    pub(crate) seen_empty: Mutex<Option<Timestamp>>,
    /// Woken when tasks may be ready.
    pub(crate) tasks_ready: Notify,
    /// Woken when a run may be finished.
    pub(crate) run_finished: Notify,
    /// Woken when a report was written.
    pub(crate) run_reported: Notify,
}

impl Coordinator {
    /// A coordinator over its backends; `reports` says where reports go.
    pub fn new(store: Store, queue: Arc<dyn Queue>, pace: Pace, reports: Reports) -> Self {
        Self {
            store,
            queue,
            pace,
            metrics: Arc::default(),
            reports,
            crew: None,
            events: broadcast::Sender::new(EVENTS_KEPT),
            seen_empty: Mutex::default(),
            tasks_ready: Notify::new(),
            run_finished: Notify::new(),
            run_reported: Notify::new(),
        }
    }

    /// The same for the workers of a fleet, which tell in `ledger` what they do.
    #[must_use]
    pub fn with_crew(self, ledger: Arc<dyn Ledger>) -> Self {
        Self { crew: Some(ledger), ..self }
    }

    /// The same, counting in `metrics`.
    #[must_use]
    pub fn with_metrics(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics, ..self }
    }

    /// Hears of what ends from now on.
    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Tells listeners, if there are any.
    pub(crate) fn tell_event(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// Runs all loops until `stop`; each finishes the step that it is in.
    ///
    /// # Errors
    /// A loop failed several times in a row.
    pub async fn run(&self, stop: &CancellationToken) -> Result<(), CoordinatorError> {
        tokio::try_join!(
            // In boxes, because a future that holds another one is as large as both.
            Box::pin(self.every(Step::Dispatch, stop)),
            Box::pin(self.every(Step::Close, stop)),
            Box::pin(self.collect_until(stop)),
            Box::pin(self.collect_dead_until(stop)),
        )?;
        Ok(())
    }

    /// Waits until the run has its report.
    ///
    /// # Errors
    /// The Store does not answer.
    pub async fn reported(&self, run: RunId) -> Result<(), CoordinatorError> {
        loop {
            // Registered before looking, so that a report in between is not missed.
            let reported = self.run_reported.notified();
            if self.store.run(run).await?.report.is_some() {
                return Ok(());
            }
            reported.await;
        }
    }

    /// Ends a run on which nobody works any more: as finished if all of it is done, else as interrupted.
    ///
    /// # Errors
    /// The Store does not answer, or the report cannot be written.
    pub async fn end(&self, run: RunId) -> Result<(), CoordinatorError> {
        let now = Timestamp::now();
        self.collect_waiting(now).await?;
        Box::pin(self.close_finished(now)).await?;
        Box::pin(self.interrupt_at(run, now)).await
    }

    /// Ends a run that will not be finished: what is open is cancelled, and the report says so.
    ///
    /// # Errors
    /// The Store does not answer, or the report cannot be written.
    pub async fn interrupt(&self, run: RunId) -> Result<(), CoordinatorError> {
        self.interrupt_at(run, Timestamp::now()).await
    }

    pub(crate) async fn interrupt_at(&self, run: RunId, now: Timestamp) -> Result<(), CoordinatorError> {
        self.collect_waiting(now).await?;
        around(Effect::RunInterrupt, self.store.interrupt_run(run, now)).await?;
        Box::pin(self.close_finished(now)).await
    }

    /// Repeats a step, when woken and at each tick.
    async fn every(&self, step: Step, stop: &CancellationToken) -> Result<(), CoordinatorError> {
        let mut failures = Failures::new(self.pace);
        let wake = match step {
            Step::Dispatch => &self.tasks_ready,
            Step::Close => &self.run_finished,
        };
        while !stop.is_cancelled() {
            let done = match step {
                Step::Dispatch => self.dispatch(Timestamp::now()).await,
                Step::Close => self.close_finished(Timestamp::now()).await,
            };
            failures.note(done).await?;
            tokio::select! {
                () = wake.notified() => {}
                () = tokio::time::sleep(self.pace.tick) => {}
                () = stop.cancelled() => {}
            }
        }
        Ok(())
    }
}

/// What a loop repeats.
#[derive(Clone, Copy)]
enum Step {
    /// Hands out what is due.
    Dispatch,
    /// Closes runs that are finished.
    Close,
}

/// Failures of a loop since its last success.
#[derive(Debug)]
pub(crate) struct Failures {
    in_a_row: u32,
    pace: Pace,
}

impl Failures {
    pub(crate) fn new(pace: Pace) -> Self {
        Self { in_a_row: 0, pace }
    }

    /// Passes an error on that will not pass, or once there were too many in a row; until then logs it, and waits: what
    /// failed a moment ago fails again.
    pub(crate) async fn note(&mut self, result: Result<(), CoordinatorError>) -> Result<(), CoordinatorError> {
        let Err(error) = result else {
            if self.in_a_row > 0 {
                tracing::info!("the step succeeds again, after {} failures", self.in_a_row);
            }
            self.in_a_row = 0;
            return Ok(());
        };
        if let CoordinatorError::Queue(outage) = &error
            && outage.is_outage()
        {
            // The Queue has told it, and goes on by itself: that may take as long as it likes.
            tracing::debug!("coordinator step put off: {outage}");
            tokio::time::sleep(self.pace.tick).await;
            return Ok(());
        }
        self.in_a_row += 1;
        if error.is_final() || (!self.pace.stays && self.in_a_row >= FAILURES_IN_A_ROW_MAX) {
            return Err(error);
        }
        // An outage is told once.
        if self.in_a_row == 1 {
            tracing::warn!("coordinator step failed, trying again: {}", daemon::ErrorChain(&error));
        } else {
            tracing::debug!("coordinator step failed again: {}", daemon::ErrorChain(&error));
        }
        tokio::time::sleep(self.pace.tick).await;
        Ok(())
    }
}
