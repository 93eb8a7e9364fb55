//! An image with one large layer: memory must not grow with it, and the line is to be full.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::bench::{Bench, remove};
use crate::server::Server;
use crate::table::{Row, head, ratios};
use crate::tool::{Tool, job};

const REPOSITORY: &str = "library/large";
const IMAGE: &str = "library/large:1";

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    println!("{}", head(&format!("a layer of {} MiB", bench.size.layer_bytes >> 20)));
    for tls in [false, true] {
        between_registries(bench, tls)?;
    }
    with_a_layout(bench)
}

/// The source makes the layer while it sends it; the destination hashes and counts it, and keeps none.
fn servers(bench: &Bench, tls: bool) -> Result<[Server; 2]> {
    let synthetic = ["--synthetic".to_owned(), bench.size.layer_bytes.to_string()];
    let source = bench.serve("source", tls, &synthetic)?;
    Ok([source, empty(bench, tls)?])
}

fn empty(bench: &Bench, tls: bool) -> Result<Server> {
    bench.serve("destination", tls, &["--keep".to_owned(), "1048576".to_owned()])
}

fn between_registries(bench: &mut Bench, tls: bool) -> Result<()> {
    let scheme = if tls { "https" } else { "http" };
    let [mut source, mut destination] = servers(bench, tls)?;
    let program = bench.program(Tool::Ours.name())?;
    let settings = write_job(bench, &source, &destination)?;
    let command = Tool::Ours.copy(&program, &settings, IMAGE, [&source, &destination]);
    let ours = measure(bench, Tool::Ours, format!("{scheme}: copy"), &command, [&mut source, &mut destination])?;

    destination = empty(bench, tls)?;
    let settings = write_job(bench, &source, &destination)?;
    let mut command = Command::new(&program);
    command.arg("run").arg(settings).arg("--data").arg(bench.path(&format!("data-{scheme}")));
    measure(bench, Tool::Ours, format!("{scheme}: run"), &command, [&mut source, &mut destination])?;

    let what = format!("{scheme}: skopeo copy --all");
    let Some(skopeo) = Tool::Skopeo.path(bench)? else {
        println!("{what:<44} {:>20}", "not here");
        return Ok(());
    };
    destination = empty(bench, tls)?;
    let command = Tool::Skopeo.copy(&skopeo, Path::new(""), IMAGE, [&source, &destination]);
    let theirs = measure(bench, Tool::Skopeo, what, &command, [&mut source, &mut destination])?;
    println!("{}", ratios(&ours, &theirs).unwrap_or_default());
    Ok(())
}

fn with_a_layout(bench: &mut Bench) -> Result<()> {
    let [mut source, mut destination] = servers(bench, true)?;
    let program = bench.program(Tool::Ours.name())?;
    let settings = write_job(bench, &source, &destination)?;
    let folder = bench.path("layout");
    let layout = format!("oci:{}:large", folder.display());
    let ways = [
        ("https: copy to oci:", format!("{}/{IMAGE}", source.host), layout.clone()),
        ("https: copy from oci:", layout, format!("{}/{IMAGE}", destination.host)),
    ];
    for (what, from, to) in ways {
        let mut command = Command::new(&program);
        command.args(["copy", "--settings"]).arg(&settings).args([from, to]);
        measure(bench, Tool::Ours, what.to_owned(), &command, [&mut source, &mut destination])?;
    }
    remove(&folder)
}

/// The job file of the one image, also for its settings.
fn write_job(bench: &Bench, source: &Server, destination: &Server) -> Result<std::path::PathBuf> {
    let path = bench.path("job.yaml");
    std::fs::write(&path, job([source, destination], &[REPOSITORY])?).context("write a job file")?;
    Ok(path)
}

fn measure(bench: &mut Bench, tool: Tool, what: String, command: &Command, servers: [&mut Server; 2]) -> Result<Row> {
    let mut row = Row { layer_bytes: Some(bench.size.layer_bytes), ..Row::new(tool, what) };
    bench.measure(&mut row, command, servers)?;
    bench.print(&row);
    Ok(row)
}
