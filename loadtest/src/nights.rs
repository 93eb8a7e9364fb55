//! Two nights of many tags: on the first all is new, on the second nothing has changed.

use anyhow::Result;
use sandbox::content::CATALOGUE;

use crate::bench::{Bench, Size};
use crate::table::{Row, head, ratios, verbs};
use crate::tool::{Manner, Tool};

/// Most of skopeo's time that our first night may take, where the registries are far away.
const FIRST_NIGHT_MAX: f64 = 1.0 / 3.0;

/// As many at once as we take, and what we copy beside images too.
pub(crate) const AS_WE_DO: Manner = Manner { at_once: 8, referrers: true };

/// What is mirrored.
pub(crate) struct Nights {
    title: String,
    /// Options of `sandbox` that make the source.
    source: Vec<String>,
    repositories: &'static [&'static str],
    /// Without those of cosign.
    tags: usize,
    round_trip_ms: usize,
}

impl Nights {
    /// One repository with many tags.
    pub(crate) fn tags(size: Size) -> Self {
        let tags = size.tags;
        let source = options(&[("--tags", tags)]);
        let title = format!("{tags} tags of one repository");
        Self { title, source, repositories: &["library/app-00"], tags, round_trip_ms: 0 }
    }

    /// Many repositories with some tags each, on this machine or as far away as the round trip says.
    pub(crate) fn catalogue(size: Size, round_trip_ms: usize) -> Self {
        let repositories = &CATALOGUE[..size.repositories];
        let tags = repositories.len() * (size.tags_each + 1);
        let title = format!("{tags} tags, {} repositories, {round_trip_ms} ms", repositories.len());
        let source = options(&[("--catalogue", repositories.len()), ("--tags", size.tags_each)]);
        Self { title, source, repositories, tags, round_trip_ms }
    }
}

/// Options of `sandbox`, each with its number.
pub(crate) fn options(options: &[(&str, usize)]) -> Vec<String> {
    options.iter().flat_map(|(name, value)| [(*name).to_owned(), value.to_string()]).collect()
}

pub(crate) fn run(bench: &mut Bench, nights: &Nights) -> Result<()> {
    println!("{}", head(&nights.title));
    let tools = bench.tools(&[Tool::Ours, Tool::Skopeo, Tool::Regsync])?;
    let rows = tools.into_iter().map(|(tool, program)| (program, [row(tool, "first"), row(tool, "second")]));
    let mut rows: Vec<_> = rows.collect();
    let line = options(&[("--round-trip", nights.round_trip_ms)]);
    let mut source = bench.serve("source", false, &[nights.source.clone(), line.clone()].concat())?;
    // In turns, so that what else the machine does is felt by all.
    for _ in 0..bench.size.times {
        for (program, rows) in rows.iter_mut().filter(|(_, rows)| !rows[0].is_long()) {
            let mut destination = bench.serve("destination", false, &line)?;
            let folder = bench.empty("nights")?;
            let both = [&source, &destination];
            let command = rows[0].tool.mirror(program, &folder, both, nights.repositories, &AS_WE_DO)?;
            for row in rows {
                if !bench.measure(row, &command, [&mut source, &mut destination])? {
                    break;
                }
            }
        }
    }
    let rows: Vec<_> = rows.into_iter().map(|(_, rows)| rows).collect();
    for row in rows.iter().flatten() {
        bench.print(row);
        println!("{}", verbs(row));
    }
    compare(bench, nights, &rows);
    Ok(())
}

fn row(tool: Tool, night: &str) -> Row {
    Row::new(tool, format!("{}, {night} night", tool.command()))
}

/// Compares ours, which comes first, with the others, and with its budgets.
fn compare(bench: &mut Bench, nights: &Nights, rows: &[[Row; 2]]) {
    let Some((ours, others)) = rows.split_first() else { return };
    for theirs in others {
        for (ours, theirs) in ours.iter().zip(theirs) {
            println!("{}:\n{}", theirs.what, ratios(ours, theirs).unwrap_or_default());
        }
        let seconds = |rows: &[Row; 2]| rows[0].median(|sample| sample.usage.seconds);
        if let (Tool::Skopeo, Some(ours), Some(theirs)) = (theirs[0].tool, seconds(ours), seconds(theirs)) {
            let is_judged = bench.size.is_judged && nights.round_trip_ms > 0;
            bench.judge(!is_judged || ours <= theirs * FIRST_NIGHT_MAX, || {
                format!("{}: a first night of {ours:.1} s, beside {theirs:.1} s of skopeo", nights.title)
            });
        }
    }
    // A question for each tag, a listing for each repository, and the greeting.
    let most = (nights.tags + nights.repositories.len() + 2) as f64;
    if let Some(asked) = ours[1].median(|sample| sample.source.asked() as f64) {
        bench.judge(asked <= most, || {
            format!("{}: {asked} requests to the source on the second night, more than {most}", nights.title)
        });
    }
}
