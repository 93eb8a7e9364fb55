//! What a person sees while the factory works: a display on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use backends::store::Waiting;
use coordinator::{Event, report};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use proto::failure::Code;
use proto::{Host, Outcome, limits};
use worker::Snapshot;

use crate::text;

/// How often the display is drawn.
pub(crate) const DRAW_EVERY: Duration = Duration::from_millis(200);

/// How often a plain line says how far it is.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Attempts shown by name.
const ROWS: usize = 8;

/// The display of this process, if it has one: log lines must not be written into the middle of it.
static DISPLAY: OnceLock<MultiProgress> = OnceLock::new();

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
    form: Form,
    /// Tries that failed and are repeated, by what came back and from where.
    tries: BTreeMap<(Code, Option<Host>), u64>,
    /// Bytes sent, at times of the last seconds: what the rate is taken from.
    samples: std::collections::VecDeque<(Instant, u64)>,
}

enum Form {
    Terminal { display: MultiProgress, head: ProgressBar, rows: Vec<ProgressBar> },
    Lines { last: Instant },
}

impl Progress {
    /// Begins to show the run called `name` on standard error.
    pub(crate) fn begin(name: String) -> Self {
        let is_display = io::stderr().is_terminal() && !LINES_ARE_EVENTS.load(Relaxed);
        let form = if is_display { Form::terminal() } else { Form::Lines { last: Instant::now() } };
        Self { name, began: Instant::now(), form, tries: BTreeMap::new(), samples: [(Instant::now(), 0)].into() }
    }

    /// Draws how far the run is.
    pub(crate) fn show(&mut self, standing: &Standing) {
        let now = Instant::now();
        self.samples.push_back((now, standing.moving.bytes_written));
        while self.samples.len() > 2 && now - self.samples[0].0 > Duration::from_secs(10) {
            self.samples.pop_front();
        }
        let text = self.headline(standing);
        match &mut self.form {
            Form::Terminal { head, rows, .. } => {
                head.set_message(text);
                for (row, running) in rows.iter().zip(standing.moving.running.iter().map(Some).chain([None; ROWS])) {
                    row.set_message(running.map(describe).unwrap_or_default());
                }
            }
            Form::Lines { last } if now - *last >= LINE_EVERY => {
                *last = now;
                say(&text);
            }
            Form::Lines { .. } => {}
        }
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
                let failure = row.destinations.iter().find_map(|destination| destination.failure.as_ref());
                match (outcome, failure) {
                    (Outcome::Failed | Outcome::Postponed, Some(failure)) => format!("{outcome}  {source}  {failure}"),
                    // On a terminal the head counts these; a log should name what moved.
                    (Outcome::Pushed, _) if matches!(self.form, Form::Lines { .. }) => format!("{outcome}  {source}"),
                    _ => return,
                }
            }
        };
        match &self.form {
            // Lines are lost only where nobody reads standard error.
            Form::Terminal { display, .. } => drop(display.println(line)),
            Form::Lines { .. } => say(&line),
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

    fn headline(&self, standing: &Standing) -> String {
        let elapsed = self.began.elapsed();
        let done: u64 = standing.done.iter().sum();
        let of = if standing.complete { "" } else { "+" };
        let mut parts = vec![format!("{done} of {}{of} images", standing.images)];
        let counted = Outcome::ALL.iter().zip(standing.done).filter(|(_, count)| *count > 0);
        parts.extend(counted.map(|(outcome, count)| format!("{count} {outcome}")));
        let tries: u64 = self.tries.values().sum();
        if tries > 0 {
            parts.push(format!("{} repeated", text::count(tries, "attempt")));
        }
        let (sent, rate) = (standing.moving.bytes_written, self.rate());
        if sent > 0 {
            parts.push(format!("{} sent, {}/s", text::bytes(sent), text::bytes(rate)));
        }
        let saved = standing.moving.bytes_saved;
        if saved > 0 {
            parts.push(format!("{} saved", text::bytes(saved)));
        }
        if let Some(left) = time_left(standing, done, rate, elapsed) {
            parts.push(format!("about {} left", text::duration(left)));
        }
        format!("{}  {}  {}", self.name, text::duration(elapsed), parts.join(" · "))
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
    if !standing.complete || done == 0 || elapsed < Duration::from_secs(3) {
        return None;
    }
    let running = &standing.moving.running;
    let bytes: u64 = running.iter().map(|r| r.bytes_expected.saturating_sub(r.bytes_done)).sum();
    let moving = match bytes {
        0 => Duration::ZERO,
        _ => Duration::from_secs(bytes.checked_div(rate)?),
    };
    let waiting = standing.images.saturating_sub(done + running.len() as u64);
    let left = moving + elapsed.mul_f64(waiting as f64 / done as f64);
    Some(left).filter(|left| !left.is_zero())
}

impl Form {
    fn terminal() -> Self {
        let new = || MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let display = DISPLAY.get_or_init(new).clone();
        let line = || {
            let bar = display.add(ProgressBar::no_length());
            // The template is fixed and valid; the default one would show a bar, which is only less pretty.
            bar.set_style(ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        };
        let head = line();
        let rows = (0..ROWS).map(|_| line()).collect();
        Self::Terminal { display, head, rows }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Form::Terminal { display, head, rows } = &self.form {
            for line in rows.iter().chain([head]) {
                display.remove(line);
            }
            // Nobody is left to tell if the terminal is gone.
            let _ = display.clear();
        }
    }
}

fn describe(running: &worker::Running) -> String {
    let stage = running.stage;
    let source = &running.source;
    if running.bytes_expected == 0 {
        return format!("  {stage:<8} {source}");
    }
    let (done, all) = (text::bytes(running.bytes_done), text::bytes(running.bytes_expected));
    format!("  {stage:<8} {source}  {done} of {all}")
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
    let write = || writeln!(io::stderr(), "{line}");
    let _ = DISPLAY.get().map_or_else(write, |display| display.suspend(write));
}

/// The same for what a person should look at.
pub(crate) fn warn(line: &str) {
    if LINES_ARE_EVENTS.load(Relaxed) { tracing::warn!("{line}") } else { say(line) }
}

/// Where log lines go: standard error, above the display if there is one.
pub(crate) struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let write = || io::stderr().write(line);
        DISPLAY.get().map_or_else(write, |display| display.suspend(write))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of two images done, the other with so many bytes left.
    fn moving(bytes_left: u64) -> Standing {
        let (source, stage) = ("r.example/app:1".parse().unwrap(), proto::Stage::Push);
        let running = vec![worker::Running { source, stage, bytes_done: 0, bytes_expected: bytes_left }];
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
    }
}
