//! `demo`: the factory at work between two registries of its own, three nights in a row.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use coordinator::expand::Only;
use coordinator::report::PAGE;
use daemon::Shutdown;
use proto::limits;
use registry::Options;
use sandbox::content;

use crate::cli::args::DataArgs;
use crate::commands::run::{Order, Wanted, mirror};
use crate::data::DataFolder;
use crate::exit::Exit;
use crate::files;
use crate::progress::say;
use crate::summary;
use crate::text;

/// See the factory work, with registries that it starts itself: nothing is installed and nothing leaves this machine.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct DemoArgs {
    /// Folder for the demo's data and reports; default: a new one in the system's temporary folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

const EXAMPLE: &str = "\
Example:
  image-factory demo --dir /tmp/demo";

/// Of each repository.
const TAGS: u64 = 20;

const NIGHTS: [&str; 3] = [
    "first night: everything is new",
    "second night: nothing has changed",
    "third night: one tag has moved, one is new",
];

pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<Exit> {
    let folder = folder(&args)?;
    let upstream = sandbox::Registry::builder().start().await.context("start the source")?;
    let mirror = sandbox::Registry::builder().start().await.context("start the destination")?;
    let repositories = content::CATALOGUE.len();
    content::catalogue(upstream.store(), repositories, TAGS);
    let demo = Demo { folder, upstream, mirror, shutdown: Shutdown::on_signals()? };
    let file = demo.write_file()?;
    // With `latest`.
    let tags = repositories as u64 * (TAGS + 1);
    say(&format!(
        "A source at {} with {repositories} repositories and {tags} tags: multi-platform images, shared layers, \
         signatures, SBOMs.",
        demo.upstream.host()
    ));
    say(&format!("An empty destination at {}, and this job file, {}:\n", demo.mirror.host(), file.display()));
    say(&std::fs::read_to_string(&file)?);

    let mut nights = Vec::new();
    for title in NIGHTS {
        if title == NIGHTS[2] {
            content::change_catalogue(demo.upstream.store());
        }
        match demo.night(&file, title).await? {
            Some(night) if !demo.shutdown.drain.is_cancelled() => nights.push(night),
            _ => {
                say("stopped: nothing was compared");
                return Ok(Exit::Incomplete);
            }
        }
    }

    demo.compare()?;
    say("\nEvery tag, signature and SBOM of the source is at the destination, byte for byte.");
    for night in &nights {
        say(&format!("  {:<42} {:>8}  {}", night.title, text::duration(night.took), night.result));
    }
    let report = nights.last().map(|night| night.report.with_file_name(PAGE).display().to_string()).unwrap_or_default();
    say("\nThe report of the last run:");
    writeln!(text::stdout(), "{report}")?;
    Ok(Exit::Done)
}

struct Demo {
    folder: PathBuf,
    upstream: sandbox::Registry,
    mirror: sandbox::Registry,
    shutdown: Shutdown,
}

/// One run of the demo.
struct Night {
    title: &'static str,
    took: Duration,
    result: String,
    report: PathBuf,
}

impl Demo {
    /// The job file: a line for each repository, as a person would write it.
    fn write_file(&self) -> anyhow::Result<PathBuf> {
        let mut text = format!("version: 1\nto: {}/mirror/{{path}}\nimages:\n", self.mirror.host());
        for repository in self.upstream.store().repositories() {
            text += &format!("  {}/{repository}: \"*\"\n", self.upstream.host());
        }
        let path = self.folder.join("demo.yaml");
        std::fs::write(&path, text).with_context(|| format!("write `{}`", path.display()))?;
        Ok(path)
    }

    /// One run of the file; none if it was stopped before its report.
    async fn night(&self, file: &Path, title: &'static str) -> anyhow::Result<Option<Night>> {
        say(&format!("\n— {title} —"));
        let args = DataArgs { folder: Some(self.folder.join("data")) };
        let data = DataFolder::open(&args)?;
        let order = Order {
            path: file,
            file: files::load(file)?,
            data: &data,
            slots: limits::SLOTS,
            job: None,
            wanted: Wanted::Only(Only::All),
            is_namesake_refused: true,
            take_over: false,
            options: Options::default(),
            retry_after: [limits::SECOND_TRY_AFTER, limits::THIRD_TRY_AFTER],
        };
        let began = Instant::now();
        let mut only = None;
        let all = mirror(order, None, &self.shutdown, |done, _| {
            only = Some(done);
            Ok(())
        });
        all.await?;
        let Some(done) = only else { return Ok(None) };
        let took = began.elapsed();
        summary::print(&done.summary, &done.run, &args, &done.report, None)?;
        let totals = &done.summary.totals;
        ensure!(totals.failed + totals.unlisted == 0, "the demo failed; see the lines above");
        let result = format!("{} up to date, {} pushed", totals.up_to_date, totals.pushed);
        Ok(Some(Night { title, took, result, report: done.report }))
    }

    /// Looks into both registries, past our own client: what the source has, the destination must have, images of
    /// each platform and what refers to them included. What a tag showed before it moved was copied then.
    fn compare(&self) -> anyhow::Result<()> {
        let theirs: BTreeMap<_, _> = self.upstream.store().tags();
        let ours = self.mirror.store().tags();
        for ((repository, tag), digest) in &theirs {
            let copy = ours.get(&(format!("mirror/{repository}"), tag.clone()));
            ensure!(copy == Some(digest), "{repository}:{tag} is {digest} at the source, {copy:?} at the destination");
        }
        for repository in self.upstream.store().repositories() {
            let copies = self.mirror.store().manifests(&format!("mirror/{repository}"));
            for digest in self.upstream.store().manifests(&repository).keys() {
                ensure!(copies.contains_key(digest), "{repository}@{digest} was not copied");
            }
        }
        Ok(())
    }
}

fn folder(args: &DemoArgs) -> anyhow::Result<PathBuf> {
    let folder = match &args.dir {
        Some(folder) => folder.clone(),
        // Kept: its path is what the demo ends with.
        None => tempfile::Builder::new().prefix("image-factory-demo-").tempdir()?.keep(),
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("create `{}`", folder.display()))?;
    Ok(folder)
}
