//! What a person sees while the factory works: a display on a terminal, plain lines elsewhere.

mod layout;
mod screen;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::slice;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use backends::store::{ReportDestination, ReportRow, Waiting};
use coordinator::{Event, report};
use jiff::Timestamp;
use proto::failure::Code;
use proto::{Host, Outcome, limits};
use worker::Snapshot;

pub(crate) use self::layout::line;
use self::screen::Size;
pub(crate) use self::screen::clear_on_panic;
use crate::text;

/// How often the display is drawn.
pub(crate) const DRAW_EVERY: Duration = Duration::from_millis(200);

/// How often a plain line says how far it is.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Images named as failed for one cause; the rest of them is counted.
const NAMED: u64 = 5;

/// Whether lines for people are log events instead.
static LINES_ARE_EVENTS: AtomicBool = AtomicBool::new(false);

/// How far a run is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    /// Images found so far.
    pub(crate) images: u64,
    /// Whether all are found.
    pub(crate) complete: bool,
    /// Images done, by outcome from best to worst.
    pub(crate) done: [u64; Outcome::ALL.len()],
    /// What moves right now.
    pub(crate) moving: Snapshot,
}

/// Shows a run until it is dropped.
pub(crate) struct Progress {
    name: String,
    began: Instant,
    display: Display,
    /// Tries that failed and are repeated, by what came back and from where.
    tries: BTreeMap<(Code, Option<Host>), u64>,
    /// Images that failed or were postponed, in the same way.
    ended: BTreeMap<(Code, Option<Host>), u64>,
    /// Bytes sent, at times of the last seconds: what the rate is taken from.
    samples: std::collections::VecDeque<(Instant, u64)>,
}

/// How it is shown how far something is, until this is dropped.
pub(crate) enum Display {
    /// Lines that are drawn again and again.
    Terminal,
    /// A line now and then.
    Lines { last: Instant },
}

impl Progress {
    /// Begins to show the run called `name` on standard error.
    pub(crate) fn begin(name: String, display: Display) -> Self {
        let (tries, ended) = (BTreeMap::new(), BTreeMap::new());
        Self { name, began: Instant::now(), display, tries, ended, samples: [(Instant::now(), 0)].into() }
    }

    /// Draws how far the run is.
    pub(crate) fn show(&mut self, standing: &Standing) {
        let now = Instant::now();
        self.samples.push_back((now, standing.moving.bytes_written));
        while self.samples.len() > 2 && now - self.samples[0].0 > Duration::from_secs(10) {
            self.samples.pop_front();
        }
        let (head, counts) = (self.head(standing), self.counts(standing));
        self.display.show(
            || format!("{}  {}", self.name, [&head[..], &counts[..]].concat().join(" · ")),
            |size| {
                // Who looks at a terminal knows what was started there.
                let head = [&head[..], slice::from_ref(&self.name)].concat();
                let mut lines = vec![layout::line(&head, size.columns), layout::line(&counts, size.columns)];
                lines.retain(|line| !line.is_empty());
                lines.extend(layout::rows(&standing.moving.running, size));
                lines
            },
        );
    }

    /// Says what happened to an image.
    pub(crate) fn tell(&mut self, event: &Event) {
        let line = match event {
            Event::Unlisted { repository, failure } => format!("unlisted  {repository}  {failure}"),
            Event::Waits(waiting) => match self.count_try(waiting) {
                Some(line) => line,
                None => return,
            },
            Event::Ended(row) => {
                let (source, outcome) = (&row.source, row.outcome);
                match (outcome, row.destinations.iter().find(|destination| destination.failure.is_some())) {
                    (Outcome::Failed | Outcome::Postponed, Some(destination)) => {
                        match self.count_ended(row, destination) {
                            Some(line) => line,
                            None => return,
                        }
                    }
                    // On a terminal the head counts these; a log should name what moved.
                    (Outcome::Pushed, _) if matches!(self.display, Display::Lines { .. }) => {
                        format!("{outcome}  {source}")
                    }
                    _ => return,
                }
            }
        };
        say(&line);
    }

    /// A line for the first few of each cause.
    fn count_ended(&mut self, row: &ReportRow, at: &ReportDestination) -> Option<String> {
        let failure = at.failure.as_ref()?;
        let host = report::host(failure.code, &row.source, &at.location);
        let count = self.ended.entry((failure.code, host)).or_default();
        *count += 1;
        let line = format!("{}  {}  {failure}", row.outcome, row.source);
        match (*count).cmp(&NAMED) {
            Ordering::Less => Some(line),
            Ordering::Equal => Some(format!("{line} (what else fails like this is counted, and named in the report)")),
            Ordering::Greater => None,
        }
    }

    /// A line for the first of each cause: a registry that is down would give as many as there are images.
    fn count_try(&mut self, waiting: &Waiting) -> Option<String> {
        let Waiting { source, location, tries, is_deferred, not_before, failure } = waiting;
        let count = self.tries.entry((failure.code, report::host(failure.code, source, location))).or_default();
        *count += 1;
        if *count > 1 {
            return None;
        }
        let wait = text::duration(not_before.duration_since(Timestamp::now()).unsigned_abs());
        Some(if *is_deferred {
            format!("deferred  {source}  {failure}; again in {wait}")
        } else {
            format!("try {tries} of {} failed  {source}  {failure}; again in {wait}", limits::TRIES_MAX)
        })
    }

    /// What matters most: how far the run is, and for how long.
    fn head(&self, standing: &Standing) -> Vec<String> {
        let elapsed = self.began.elapsed();
        let done: u64 = standing.done.iter().sum();
        let found = text::count(standing.images, "image");
        let of = match standing.images {
            0 if !standing.complete => "looking for images".to_owned(),
            _ => format!("{} of {found}{}", text::number(done), if standing.complete { "" } else { " or more" }),
        };
        let mut parts = vec![of, text::duration(elapsed)];
        if let Some(left) = time_left(standing, done, self.rate(), elapsed) {
            parts.push(format!("about {} left", text::duration(left)));
        }
        parts
    }

    /// What came of it until now, the worst first.
    fn counts(&self, standing: &Standing) -> Vec<String> {
        let counted = Outcome::ALL.iter().zip(standing.done).filter(|(_, count)| *count > 0).rev();
        let mut parts: Vec<String> =
            counted.map(|(outcome, count)| format!("{} {outcome}", text::number(count))).collect();
        let tries: u64 = self.tries.values().sum();
        if tries > 0 {
            parts.push(format!("{} repeated", text::count(tries, "attempt")));
        }
        let sent = standing.moving.bytes_written;
        if sent > 0 {
            parts.push(format!("{} sent, {}/s", text::bytes(sent), text::bytes(self.rate())));
        }
        let saved = standing.moving.bytes_saved;
        if saved > 0 {
            parts.push(format!("{} saved", text::bytes(saved)));
        }
        parts
    }

    /// Bytes a second over the last seconds.
    fn rate(&self) -> u64 {
        match (self.samples.front(), self.samples.back()) {
            (Some((from, before)), Some((to, after))) if to > from => {
                ((after - before) as f64 / (*to - *from).as_secs_f64()) as u64
            }
            _ => 0,
        }
    }
}

/// What is left of the images that are moving, at the present rate, and as long again for each image that waits as one
/// took until now. None before there is anything to go by.
fn time_left(standing: &Standing, done: u64, rate: u64, elapsed: Duration) -> Option<Duration> {
    let running = &standing.moving.running;
    let waiting = standing.images.saturating_sub(done + running.len() as u64);
    if !standing.complete || waiting > 0 && done == 0 || elapsed < Duration::from_secs(3) {
        return None;
    }
    let bytes: u64 = running.iter().map(|r| r.bytes_expected.saturating_sub(r.bytes_done)).sum();
    let moving = match bytes {
        0 => Duration::ZERO,
        _ => Duration::from_secs(bytes.checked_div(rate)?),
    };
    let left = moving + elapsed.mul_f64(waiting as f64 / done.max(1) as f64);
    Some(left).filter(|left| !left.is_zero())
}

impl Display {
    /// What fits standard error. Where JSON goes to standard output, and that is a terminal too, there is no place to
    /// draw on.
    pub(crate) fn begin(is_json: bool) -> Self {
        let is_taken = LINES_ARE_EVENTS.load(Relaxed) || is_json && io::stdout().is_terminal();
        if screen::is_there() && !is_taken { Self::Terminal } else { Self::Lines { last: Instant::now() } }
    }

    /// Draws the lines, or says the one line if it is time.
    pub(crate) fn show(&mut self, line: impl FnOnce() -> String, lines: impl FnOnce(Size) -> Vec<String>) {
        match self {
            Self::Terminal => screen::draw(lines),
            Self::Lines { last } if last.elapsed() >= LINE_EVERY => {
                *last = Instant::now();
                say(&line());
            }
            Self::Lines { .. } => {}
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if matches!(self, Self::Terminal) {
            screen::clear();
        }
    }
}

/// From now on every line on standard error is a log event: a program reads them.
pub(crate) fn make_lines_events() {
    LINES_ARE_EVENTS.store(true, Relaxed);
}

/// Writes a line to standard error, above the display if there is one; nobody is left to tell if it is closed.
pub(crate) fn say(line: &str) {
    if LINES_ARE_EVENTS.load(Relaxed) {
        return tracing::info!("{line}");
    }
    let _ = screen::write_above(format!("{line}\n").as_bytes());
}

/// The same for what a person should look at.
pub(crate) fn warn(line: &str) {
    if LINES_ARE_EVENTS.load(Relaxed) { tracing::warn!("{line}") } else { say(line) }
}

/// Where log lines go: standard error, above the display if there is one.
pub(crate) struct LogWriter;

impl Write for LogWriter {
    /// Succeeds also where nobody reads any more: the logging library would tell a failure on standard error, and that
    /// panics.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = screen::write_above(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of two images done, the other with so many bytes left.
    fn moving(bytes_left: u64) -> Standing {
        let (source, stage) = ("r.example/app:1".parse().unwrap(), proto::Stage::Push);
        let running = vec![worker::Running {
            task: proto::TaskId::new(),
            attempt: proto::Attempt::FIRST,
            source,
            stage,
            bytes_done: 0,
            bytes_expected: bytes_left,
        }];
        Standing {
            images: 2,
            complete: true,
            moving: Snapshot { running, ..Snapshot::default() },
            ..Standing::default()
        }
    }

    #[test]
    fn the_time_left_is_told_only_when_it_is_known() {
        let elapsed = Duration::from_secs(10);
        assert_eq!(time_left(&moving(1_000), 1, 100, elapsed), Some(Duration::from_secs(10)));
        assert_eq!(time_left(&moving(1_000), 1, 0, elapsed), None, "nothing moves");
        assert_eq!(time_left(&moving(0), 1, 100, elapsed), None, "no size is known");
        assert_eq!(time_left(&moving(1_000), 0, 100, elapsed), None, "nobody knows how long the one that waits takes");
        let copy = Standing { images: 1, ..moving(1_000) };
        assert_eq!(time_left(&copy, 0, 100, elapsed), Some(Duration::from_secs(10)), "none waits");
    }
}
