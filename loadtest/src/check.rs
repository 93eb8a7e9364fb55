//! A large job file is read in no time that a person would notice.

use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::bench::Bench;
use crate::table::Range;

const REPOSITORIES: usize = 420;
const TAGS: usize = 6_000;
const SECONDS_MAX: f64 = 1.0;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let path = bench.path("large.yaml");
    std::fs::write(&path, file()).context("write a job file")?;
    let mut seconds = Vec::new();
    for _ in 0..bench.size.times {
        let began = Instant::now();
        let job = jobfile::load(&path)?;
        seconds.push(began.elapsed().as_secs_f64());
        let read = job.jobs.iter().map(|job| job.sources.len()).sum::<usize>();
        ensure!(read == REPOSITORIES, "{read} repositories were read of {REPOSITORIES}");
    }
    let Some(range) = Range::of(seconds) else { return Ok(()) };
    println!(
        "\na job file of {TAGS} tags in {REPOSITORIES} repositories is read in {range} s, of {SECONDS_MAX} allowed"
    );
    bench.judge(range.median <= SECONDS_MAX, || format!("a job file was read in {:.2} s", range.median));
    Ok(())
}

/// A line for each repository, which names its tags.
fn file() -> String {
    let mut text = "version: 1\nto: registry.example.com/mirror/{path}\nimages:\n".to_owned();
    for repository in 0..REPOSITORIES {
        let tags = (repository..TAGS).step_by(REPOSITORIES).map(|tag| format!("\"{}.{}\"", tag / 100, tag % 100));
        let tags: Vec<_> = tags.collect();
        text += &format!("  docker.io/library/app-{repository:03}: [{}]\n", tags.join(", "));
    }
    text
}
