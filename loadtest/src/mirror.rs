//! Many repositories whose images share layers, over TLS: into an empty registry, again when nothing has changed, and
//! after 2 % of the tags have moved. Beside other tools, and beside what no tool could do faster.

use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;
use sandbox::content::Bench as Shape;

use crate::bench::Bench;
use crate::replay::{Plan, Replay};
use crate::server::Server;
use crate::table::{Row, head, ratios, verbs};
use crate::tool::{Manner, Tool};
use crate::verdict::{self, Limit};

const TOOLS: [Tool; 4] = [Tool::Ours, Tool::Crane, Tool::Regsync, Tool::Skopeo];
/// None of the images has referrers, so no one is to ask for them who can be told not to.
const MANNER: Manner = Manner { at_once: 20, referrers: false };
/// Others keep what they have seen, and profit from it only at the second time.
const PHASES: [&str; 4] = ["cold", "warm", "warm again", "2 % moved"];

/// Requests at once when a source is filled.
const FILL_AT_ONCE: usize = 10;

/// What one tool did, in the order of [`PHASES`].
pub(crate) type Phases = [Row; PHASES.len()];

/// What stands on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    /// Debian's, which stores in files.
    DockerRegistry,
    /// Ours, which stores in memory.
    Sandbox,
}

/// What is mirrored, and between what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mirror {
    pub(crate) side: Side,
    pub(crate) shape: Shape,
    pub(crate) round_trip_ms: usize,
    /// Whose way of listing tags with their digests the `sandbox` registries have, if any.
    pub(crate) vendor: Option<&'static str>,
}

impl Mirror {
    pub(crate) fn title(&self) -> String {
        let Shape { repositories, tags, .. } = self.shape;
        let side = if self.side == Side::Sandbox { "sandbox" } else { "docker-registry" };
        let listed = if self.vendor.is_some() { ", listed with digests" } else { "" };
        format!("{} tags, {side}, {} ms{listed}", repositories * tags, self.round_trip_ms)
    }

    fn repositories(&self) -> Vec<String> {
        (0..self.shape.repositories).map(Shape::repository).collect()
    }

    /// A registry that holds what is to be mirrored, with 2 % of the tags as they were before they moved.
    fn source(&self, bench: &Bench) -> Result<Option<Server>> {
        if self.side == Side::Sandbox {
            let options = ["--bench-catalogue".to_owned(), self.shape.to_string()];
            return bench.serve("source", true, &[&options[..], &self.line()].concat()).map(Some);
        }
        let Some(server) = bench.serve_real("source", self.round_trip_ms)? else { return Ok(None) };
        put(&server, &Plan::of(self.shape.images(0)))?;
        Ok(Some(server))
    }

    fn destination(&self, bench: &Bench) -> Result<Server> {
        match self.side {
            Side::Sandbox => bench.serve("destination", true, &self.line()),
            Side::DockerRegistry => {
                bench.serve_real("destination", self.round_trip_ms)?.context("docker-registry has gone")
            }
        }
    }

    /// Moves the tags, or moves them back.
    fn move_tags(&self, source: &mut Server, generation: u64) -> Result<()> {
        if source.move_tags()? { Ok(()) } else { put(source, &Plan::of(self.shape.moved(generation))) }
    }

    /// The options of `sandbox` that make it as far away as it is to be, and list tags as it is to.
    fn line(&self) -> Vec<String> {
        let vendor = self.vendor.iter().flat_map(|vendor| ["--vendor".to_owned(), (*vendor).to_owned()]);
        ["--round-trip".to_owned(), self.round_trip_ms.to_string()].into_iter().chain(vendor).collect()
    }

    /// What registry and network allow.
    fn limit(&self, bench: &Bench, source: &Server, plan: &Plan) -> Result<Limit> {
        let (mut put, mut read) = (Vec::new(), Vec::new());
        for at_once in bench.size.at_once.iter().copied() {
            let destination = self.destination(bench)?;
            put.push(Replay::new(&destination.url(false), destination.ca_file.as_deref(), at_once)?.put(plan)?);
            read.push(Replay::new(&source.url(false), source.ca_file.as_deref(), at_once)?.read(plan)?);
        }
        let say = |what: &str, seconds: &[f64]| {
            let parts = bench
                .size
                .at_once
                .iter()
                .zip(seconds)
                .map(|(at_once, seconds)| format!("{at_once} at once {seconds:.2} s"));
            println!("    {what}: {}", parts.collect::<Vec<_>>().join(", "));
            seconds.iter().copied().fold(f64::INFINITY, f64::min)
        };
        Ok(Limit { put: say("replay limit", &put), read: say("reading the source", &read) })
    }
}

/// Fills a registry without the line in front of it.
fn put(server: &Server, plan: &Plan) -> Result<()> {
    Replay::new(&server.url(true), server.ca_file.as_deref(), FILL_AT_ONCE)?.put(plan).map(drop)
}

/// All phases by everyone, judged.
pub(crate) fn run(bench: &mut Bench, mirror: Mirror) -> Result<()> {
    let Some(mut source) = mirror.source(bench)? else {
        println!("\n{}: docker-registry is not here", mirror.title());
        return Ok(());
    };
    let plan = Plan::of(mirror.shape.images(0));
    println!("{}", head(&mirror.title()));
    println!("    floor: {plan}");
    let limit = mirror.limit(bench, &source, &plan)?;
    let tools = bench.tools(&TOOLS)?;
    let mut rows: Vec<_> =
        tools.into_iter().map(|(tool, program)| (program, PHASES.map(|phase| row(tool, phase)))).collect();
    // In turns, so that what else the machine does is felt by all.
    for _ in 0..bench.size.times {
        for (program, rows) in rows.iter_mut().filter(|(_, rows)| !rows[0].is_long()) {
            measure(bench, mirror, &mut source, program, rows)?;
        }
    }
    let rows: Vec<_> = rows.into_iter().map(|(_, rows)| rows).collect();
    for row in rows.iter().flatten() {
        bench.print(row);
        println!("{}", verbs(row));
    }
    let Some((ours, others)) = rows.split_first() else { return Ok(()) };
    for (ours, theirs) in others.iter().flat_map(|theirs| ours.iter().zip(theirs)) {
        println!("{}:\n{}", theirs.what, ratios(ours, theirs).unwrap_or_default());
    }
    verdict::judge(bench, mirror, &plan, &limit, ours, others);
    Ok(())
}

/// Ours alone, where nothing has changed in very many repositories.
pub(crate) fn unchanged(bench: &mut Bench, mirror: Mirror) -> Result<()> {
    let Some(mut source) = mirror.source(bench)? else { return Ok(()) };
    println!("{}", head(&mirror.title()));
    let mut rows = [row(Tool::Ours, PHASES[0]), row(Tool::Ours, PHASES[1])];
    let [cold, warm] = &mut rows;
    let mut destination = mirror.destination(bench)?;
    let folder = bench.empty("mirror")?;
    let program = bench.program(Tool::Ours.name())?;
    let both = [&source, &destination];
    let command = Tool::Ours.mirror(&program, &folder, both, &mirror.repositories(), &MANNER)?;
    let is_filled = bench.measure(cold, &command, [&mut source, &mut destination])?;
    for _ in 0..bench.size.times {
        if !is_filled || !bench.measure(warm, &command, [&mut source, &mut destination])? {
            break;
        }
    }
    for row in &rows {
        bench.print(row);
        println!("{}", verbs(row));
    }
    verdict::judge_warm(bench, mirror, &rows[1]);
    Ok(())
}

fn row(tool: Tool, phase: &str) -> Row {
    Row::new(tool, format!("{}: {phase}", tool.command()))
}

/// All phases by one tool, one after the other.
fn measure(bench: &mut Bench, mirror: Mirror, source: &mut Server, program: &Path, rows: &mut Phases) -> Result<()> {
    let mut destination = mirror.destination(bench)?;
    let folder = bench.empty("mirror")?;
    let command = rows[0].tool.mirror(program, &folder, [source, &destination], &mirror.repositories(), &MANNER)?;
    let is_last = |number: usize| number + 1 == PHASES.len();
    for (number, row) in rows.iter_mut().enumerate() {
        if is_last(number) {
            mirror.move_tags(source, 1)?;
        }
        let is_done = bench.measure(row, &command, [source, &mut destination])?;
        if is_last(number) {
            mirror.move_tags(source, 0)?;
        }
        if !is_done {
            break;
        }
        // The table comes when all is done, which may be hours away.
        let took = row.samples.last().map_or(0.0, |sample| sample.usage.seconds);
        println!("    … {}: {took:.2} s", row.what);
    }
    Ok(())
}
