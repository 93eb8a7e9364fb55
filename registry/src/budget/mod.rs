//! Budgets of one registry account: how many requests per second and at once, how many bytes, how many pulls.
//!
//! Whoever asks waits here, and only here, in turn within each action: for the action's rate, for a slot, and with the slot
//! in hand for the rate over all. What passed that is sent at once: were there another wait after it, those who passed
//! would gather there and go out together, which no rate is meant to allow. Pure parts decide; this one keeps the time,
//! and those who wait. A budget never fails a request, but for pulls: where none is left, waiting takes hours.
//!
//! # Layout
//!
//! - `action`: what kind of request one is
//! - `control`: the rates of all actions, each a `rate` that keeps a `pace`
//! - `lane`: slots for what is under way, as many as `crowd` finds good
//! - `pulls`: manifests that may be read
//! - `view`: what people see; `tally`: what metrics show

mod action;
mod control;
mod crowd;
mod lane;
mod pace;
mod pulls;
mod rate;
#[cfg(test)]
mod simulation;
mod tally;
mod view;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::settings::Limits;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tracing::Span;

use crate::wire::{Request, retry_after};
pub use action::Action;
use action::Call;
use control::{Control, Wait};
use lane::Lane;
pub(crate) use lane::Slot;
use pace::Pace;
use pulls::{Begun, Pulls, Verdict};
pub use tally::Tally;
pub(crate) use view::Exhausted;
pub use view::{ActionView, BudgetView, PullsView};

/// The budgets of one registry account, for all who use it.
pub(crate) struct Budget {
    control: Mutex<Control>,
    /// Held by the one of each action that is next.
    turns: Turns,
    /// The same for those that have a slot already: in one line they would stand behind who waits for theirs.
    turns_with_slot: Turns,
    /// Held by the one of these that is next of all.
    turn: Turn,
    /// Reads and writes have slots of their own: an upload holds one while it waits for the read of its source, which
    /// may be the same registry. Nothing that reads ever waits for a write.
    reads: Arc<Lane>,
    writes: Arc<Lane>,
    pulls: Mutex<Pulls>,
    pull_ended: Notify,
    /// Bytes per second, and when the next may pass.
    bandwidth: Option<(u64, Mutex<Pace>)>,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    /// Longest wait that is borne.
    patience: Duration,
}

type Turn = tokio::sync::Mutex<()>;

/// One for each action.
type Turns = [Turn; Action::ALL.len()];

/// Which way bytes of blobs go.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    /// They are read.
    In,
    /// They are sent.
    Out,
}

impl Budget {
    /// At most `concurrency` requests are under way that read, and as many that write. A longer `Retry-After` than
    /// `patience` is left to those who met it.
    pub(crate) fn new(limits: &Limits, concurrency: usize, patience: Duration) -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            control: Mutex::new(Control::new(now, limits)),
            turns: Default::default(),
            turns_with_slot: Default::default(),
            turn: Turn::default(),
            reads: Lane::new(concurrency),
            writes: Lane::new(concurrency),
            pulls: Mutex::new(Pulls::new(limits.pulls.clone())),
            pull_ended: Notify::new(),
            bandwidth: limits.bandwidth.map(|bytes| (bytes.max(1), Mutex::new(Pace::new(now)))),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            patience,
        })
    }

    /// Waits until `request` may be sent, and takes a slot for it.
    ///
    /// # Errors
    /// It is a pull, and none is left.
    pub(crate) async fn enter(self: &Arc<Self>, request: &Request) -> Result<Ticket, Exhausted> {
        let (call, since) = (Call::of(request), Instant::now());
        let lane = if call.reads { &self.reads } else { &self.writes };
        let next_of_action = self.turns[call.action as usize].lock().await;
        loop {
            if call.is_pull
                && let Verdict::No(exhausted) = self.pulls().verdict(Instant::now())
            {
                return Err(exhausted);
            }
            self.pass_action(call.action).await;
            let slot = lane.slot().await;
            if self.pass_whole(call.action).await {
                drop(next_of_action);
                return self.ticket(call, Some(slot), since).await;
            }
        }
    }

    /// The same for a request of a caller that holds a slot already.
    pub(crate) async fn enter_upload(self: &Arc<Self>, request: &Request) -> Result<Ticket, Exhausted> {
        let (call, since) = (Call::of(request), Instant::now());
        self.pass_with_slot(call.action).await;
        self.ticket(call, None, since).await
    }

    /// A slot for an upload, in turn with what else writes blobs: there is one of each action in the line for slots, so
    /// that each has its share of them.
    pub(crate) async fn write_slot(&self) -> Slot {
        let since = Instant::now();
        let _next_of_action = self.turns[Action::BlobWrite as usize].lock().await;
        let slot = self.writes.slot().await;
        self.control().tally(Action::BlobWrite).waited += since.elapsed();
        slot
    }

    async fn pass_with_slot(&self, action: Action) {
        let _next_of_action = self.turns_with_slot[action as usize].lock().await;
        loop {
            self.pass_action(action).await;
            if self.pass_whole(action).await {
                return;
            }
        }
    }

    /// Waits for the rate of `action`.
    async fn pass_action(&self, action: Action) {
        loop {
            let taken = self.control().take_action(action, Instant::now());
            let Err(until) = taken else { return };
            sleep_until(until).await;
        }
    }

    /// Waits for the rate over all, and counts what passes. False if nothing of `action` is to be sent any more.
    async fn pass_whole(&self, action: Action) -> bool {
        let _next_of_all = self.turn.lock().await;
        loop {
            let taken = self.control().take(action, Instant::now());
            match taken {
                Ok(()) => return true,
                Err(Wait::Action) => return false,
                Err(Wait::Whole(until)) => sleep_until(until).await,
            }
        }
    }

    /// Takes a pull, if it is one. Pulls under way are waited for with the slot in hand: each of them has its own.
    async fn ticket(self: &Arc<Self>, call: Call, slot: Option<Slot>, since: Instant) -> Result<Ticket, Exhausted> {
        let begun = loop {
            let ended = self.pull_ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            {
                let mut pulls = self.pulls();
                match if call.is_pull { pulls.verdict(Instant::now()) } else { Verdict::Yes } {
                    Verdict::Yes => break pulls.begin(call.is_pull),
                    Verdict::No(exhausted) => return Err(exhausted),
                    Verdict::Wait => {}
                }
            }
            ended.await;
        };
        let waited = since.elapsed();
        self.control().tally(call.action).waited += waited;
        let span = Span::none();
        Ok(Ticket { budget: self.clone(), call, slot, waited, span, sent: None, begun: Some(begun) })
    }

    /// Waits until so many bytes of blobs may pass, those that are read after they came. Hand them over in small
    /// pieces.
    pub(crate) async fn bytes(&self, way: Way, count: usize) {
        let counter = match way {
            Way::In => &self.bytes_in,
            Way::Out => &self.bytes_out,
        };
        counter.fetch_add(count as u64, Ordering::Relaxed);
        let Some((per_second, pace)) = &self.bandwidth else { return };
        let until = {
            let mut pace = pace.lock().unwrap_or_else(PoisonError::into_inner);
            pace.take(Instant::now(), count as f64, *per_second as f64);
            pace.next()
        };
        sleep_until(until).await;
    }

    pub(crate) fn view(&self) -> BudgetView {
        let control = self.control();
        let action = |action| {
            let (per_second, counts) = control.of(action);
            let writes = matches!(action, Action::ManifestWrite | Action::BlobWrite);
            let concurrency = if writes { self.writes.limit() } else { self.reads.limit() };
            let concurrency = u32::try_from(concurrency).unwrap_or(u32::MAX);
            ActionView { action, requests: counts.sent, refused: counts.refused, per_second, concurrency }
        };
        BudgetView {
            pulls: self.pulls().view(Instant::now()),
            per_second: control.per_second(),
            actions: Action::ALL.map(action).into(),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
        }
    }

    /// What came of the requests of one action.
    pub(crate) fn tally(&self, action: Action) -> Tally {
        self.control().of(action).1
    }

    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pulls(&self) -> MutexGuard<'_, Pulls> {
        self.pulls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request that may be sent.
pub(crate) struct Ticket {
    budget: Arc<Budget>,
    call: Call,
    /// Held until the answer was read.
    pub(crate) slot: Option<Slot>,
    /// How long it took until it might be sent.
    waited: Duration,
    /// What is traced of it; nothing before [`traced_by`](Self::traced_by).
    pub(crate) span: Span,
    /// None while it is not under way.
    sent: Option<Instant>,
    /// None once what it told of pulls was noted.
    begun: Option<Begun>,
}

impl Ticket {
    /// What comes of it is noted in `span` too.
    pub(crate) fn traced_by(mut self, span: Span) -> Self {
        span.record("waited_ms", milliseconds(self.waited));
        self.span = span;
        self
    }

    /// It is sent now.
    pub(crate) fn sending(&mut self) {
        self.sent = Some(Instant::now());
    }

    /// Waits until it may be sent once more, since it was answered by 401.
    pub(crate) async fn again(&mut self) {
        let since = Instant::now();
        self.budget.pass_with_slot(self.call.action).await;
        self.budget.control().tally(self.call.action).waited += since.elapsed();
    }

    /// Takes note of its answer. What is left if that is, for a pull, that there are no more.
    pub(crate) fn answered(&mut self, status: StatusCode, headers: &HeaderMap) -> Option<Exhausted> {
        let (budget, call, now) = (&self.budget, self.call, Instant::now());
        let sent = self.sent.take().unwrap_or(now);
        budget.control().tally(call.action).answered(Some(status), now - sent);
        self.span.record("status", status.as_u16()).record("duration_ms", milliseconds(now - sent));
        let wait = retry_after(headers);
        let tells = call.action == Action::ManifestRead && status != StatusCode::UNAUTHORIZED;
        let exhausted = self.begun.take_if(|_| tells).and_then(|begun| {
            let exhausted = budget.pulls().answered(now, begun, call.is_pull, (status, headers, wait));
            budget.pull_ended.notify_waiters();
            exhausted
        });
        // Where no pull is left, the rate is not to blame.
        let is_refused = exhausted.is_none() && (status == 429 || (status == 503 && wait.is_some()));
        if is_refused {
            budget.control().refused(call.action, now, sent, wait.filter(|wait| *wait <= budget.patience));
        } else {
            budget.control().accepted(call.action, now);
        }
        if let Some(likeness) = call.likeness.filter(|_| !is_refused && !status.is_server_error()) {
            let lane = if call.reads { &budget.reads } else { &budget.writes };
            lane.answered(likeness, now.saturating_duration_since(sent));
        }
        exhausted
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(sent) = self.sent {
            self.budget.control().tally(self.call.action).answered(None, sent.elapsed());
        }
        if self.begun.take().is_some() && self.call.is_pull {
            self.budget.pulls().unanswered(Instant::now(), self.sent.is_some());
            self.budget.pull_ended.notify_waiters();
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}
