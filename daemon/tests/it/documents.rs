//! The tables of the README say what the code has.

use daemon::Metrics;
use daemon::telemetry::KEYS;

const README: &str = include_str!("../../README.md");

#[test]
fn the_readme_lists_every_metric() {
    let rows = Metrics::ALL.map(|metric| {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        format!("| `{}` | {} | {} | {} | {} |", metric.name, metric.kind, metric.unit, labels.join(" "), metric.help)
    });
    expect("| name | kind | unit | labels | what it tells |\n|---|---|---|---|---|", &rows);
}

#[test]
fn the_readme_lists_every_key() {
    let rows: Vec<_> = KEYS.iter().map(|(key, meaning)| format!("| `{key}` | {meaning} |")).collect();
    expect("| key | meaning |\n|---|---|", &rows);
}

#[track_caller]
fn expect(head: &str, rows: &[String]) {
    let table = format!("{head}\n{}\n", rows.join("\n"));
    assert!(README.contains(&table), "the README lacks this table, as it is:\n{table}");
}
