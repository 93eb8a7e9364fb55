//! The table: a line for each command, and how ours compares.

use std::fmt;

use crate::sample::Sample;
use crate::server::Counts;
use crate::tool::Tool;

/// What takes longer is measured once: little would come of more.
const LONG_SECONDS: f64 = 60.0;

/// A command, and its runs.
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) tool: Tool,
    /// Bytes of the one layer that it moves, where that is what counts.
    pub(crate) layer_bytes: Option<u64>,
    pub(crate) samples: Vec<Sample>,
}

impl Row {
    pub(crate) fn new(tool: Tool, what: String) -> Self {
        Self { what, tool, layer_bytes: None, samples: Vec::new() }
    }

    /// Whether it is not to be run again.
    pub(crate) fn is_long(&self) -> bool {
        self.samples.iter().any(|sample| sample.usage.seconds > LONG_SECONDS)
    }

    /// The median over all runs of what is measured.
    pub(crate) fn median(&self, measure: impl Fn(&Sample) -> f64) -> Option<f64> {
        Range::of(self.samples.iter().map(measure).collect()).map(|range| range.median)
    }
}

/// Many measurements of one thing.
#[derive(Debug, PartialEq)]
pub(crate) struct Range {
    pub(crate) median: f64,
    min: f64,
    max: f64,
}

impl Range {
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let median = (values.get((values.len().max(1) - 1) / 2)? + values.get(values.len() / 2)?) / 2.0;
        Some(Self { median, min: *values.first()?, max: *values.last()? })
    }
}

/// `3.10`, or `3.10 (3.02–3.55)` if it was not the same each time.
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, min, max } = self;
        let text = if min == max { format!("{median:.2}") } else { format!("{median:.2} ({min:.2}–{max:.2})") };
        f.pad(&text)
    }
}

/// The line above the rows of a scenario.
pub(crate) fn head(title: &str) -> String {
    let asked = "requests to source, destination";
    format!("\n{title:<44} {:>20} {:>7} {:>6} {:>6}  {asked}; MB from, to", "seconds", "CPU s", "MiB", "MB/s")
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measures = |measure: fn(&Sample) -> f64| Range::of(self.samples.iter().map(measure).collect());
        let Some(seconds) = measures(|sample| sample.usage.seconds) else {
            return write!(f, "{:<44} {:>20}", self.what, "failed");
        };
        let median = |measure: fn(&Sample) -> f64| self.median(measure).unwrap_or_default();
        let rate = self.layer_bytes.map_or("-".to_owned(), |bytes| format!("{:.0}", mb(bytes) / seconds.median));
        write!(
            f,
            "{:<44} {seconds:>20} {:>7.2} {:>6.1} {rate:>6}  {}, {}; {:.1}, {:.1}",
            self.what,
            median(|sample| sample.usage.cpu_seconds),
            median(|sample| sample.usage.peak_mib),
            median(|sample| sample.source.asked() as f64),
            median(|sample| sample.destination.asked() as f64),
            median(|sample| mb(sample.source.bytes_out)),
            median(|sample| mb(sample.destination.bytes_in)),
        )
    }
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// `source: GET manifests 12, HEAD blobs 5`, and the same of the destination, for the last run.
pub(crate) fn verbs(row: &Row) -> String {
    let list = |counts: &Counts| {
        let parts: Vec<_> = counts.requests.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        parts.join(", ")
    };
    let Some(sample) = row.samples.last() else { return String::new() };
    format!("    source: {}\n    destination: {}", list(&sample.source), list(&sample.destination))
}

/// How `ours` compares with `theirs`: below 1 is better.
pub(crate) fn ratios(ours: &Row, theirs: &Row) -> Option<String> {
    let ratio = |measure: fn(&Sample) -> f64| Some(ours.median(measure)? / theirs.median(measure)?);
    Some(format!(
        "    ours / {}: seconds {:.2}, CPU {:.2}, memory {:.2}, requests to source {:.2}, to destination {:.2}",
        theirs.tool.name(),
        ratio(|sample| sample.usage.seconds)?,
        ratio(|sample| sample.usage.cpu_seconds)?,
        ratio(|sample| sample.usage.peak_mib)?,
        ratio(|sample| sample.source.asked() as f64)?,
        ratio(|sample| sample.destination.asked() as f64)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Usage;

    fn counts(text: &str) -> Counts {
        serde_json::from_str(text).unwrap()
    }

    fn row(tool: Tool, seconds: &[f64]) -> Row {
        let sample = |seconds: &f64| Sample {
            usage: Usage { seconds: *seconds, cpu_seconds: seconds / 2.0, peak_mib: 20.0 },
            source: counts(
                r#"{"bytes_in":0,"bytes_out":3000000,"refused":0,"requests":{"GET blobs":4,"HEAD manifests":6}}"#,
            ),
            destination: counts(r#"{"bytes_in":2000000,"bytes_out":0,"refused":0,"requests":{"PUT manifests":5}}"#),
        };
        Row { samples: seconds.iter().map(sample).collect(), ..Row::new(tool, "first night".to_owned()) }
    }

    #[test]
    fn the_median_is_the_one_in_the_middle_or_between_the_two() {
        let median = |values: &[f64]| Range::of(values.to_vec()).map(|range| range.median);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[7.0]), Some(7.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn a_row_shows_medians_and_how_far_times_lie_apart() {
        let line = row(Tool::Ours, &[2.0, 1.0, 4.0]).to_string();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words.join(" "), "first night 2.00 (1.00–4.00) 1.00 20.0 - 10, 5; 3.0, 2.0");
    }

    #[test]
    fn a_layer_is_shown_with_its_rate() {
        let row = Row { layer_bytes: Some(50_000_000), ..row(Tool::Ours, &[2.0]) };
        assert!(row.to_string().contains("2.00    1.00   20.0     25  10, 5"), "{row}");
    }

    #[test]
    fn a_command_that_failed_each_time_has_no_numbers_and_is_compared_with_nothing() {
        let failed = row(Tool::Skopeo, &[]);
        assert!(failed.to_string().ends_with(" failed"), "{failed}");
        assert_eq!(ratios(&row(Tool::Ours, &[1.0]), &failed), None);
    }

    #[test]
    fn requests_are_told_by_kind() {
        let told = "    source: GET blobs 4, HEAD manifests 6\n    destination: PUT manifests 5";
        assert_eq!(verbs(&row(Tool::Ours, &[1.0])), told);
    }

    #[test]
    fn ours_is_divided_by_theirs() {
        let told = ratios(&row(Tool::Ours, &[1.0]), &row(Tool::Skopeo, &[4.0])).unwrap();
        let expected =
            "ours / skopeo: seconds 0.25, CPU 0.25, memory 1.00, requests to source 1.00, to destination 1.00";
        assert_eq!(told.trim_start(), expected);
    }
}
