//! A registry to run by hand, for memory tests and benches; not shipped.
//!
//! ```text
//! sandbox [OPTION VALUE]…
//! ```
//!
//! It prints its URL on a line of its own, writes what clients should trust to `DIR/ca.pem`, and runs until it is
//! interrupted. For each SIGUSR1 it prints a line of JSON: the requests since the last one, by kind, how many of them were
//! answered by 429, and the bytes of their bodies in and out. For each SIGUSR2 it moves 2 % of the tags of the bench, or moves them
//! back, and says how many.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use sandbox::content::{self, Bench};
use sandbox::log::kind;
use sandbox::{Delay, Line, Log, PullLimit, RateLimit, Registry, Store, Tls, Vendor};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: sandbox [OPTION VALUE]…

  --port N           listen on this port of 127.0.0.1; a free one without it
  --tls DIR          speak TLS and write the authority to DIR/ca.pem
  --repositories N   serve this many repositories `library/app-NN` (1, if --tags is given)
  --catalogue N      instead of them, this many of 20 repositories of multi-platform images that share layers
  --tags N           with this many tags each (20)
  --bench-catalogue REPOSITORIESxTAGS[/DIVISOR]
                     the source of the bench, such as 40x25; layers have their size by DIVISOR
  --synthetic BYTES  serve `library/large:1` with one layer of this size, made while it is sent
  --keep BYTES       of uploads, keep only blobs up to this size; hash and count larger ones
  --vendor NAME      list tags as this vendor does too: gcr, harbor, quay, zot, hub, ecr
  --round-trip MS    stand at the other end of a line that takes so many milliseconds there and back
  --requests-per-second N
                     answer more of them by 429
  --burst N          but take so many at once (5) after a time without any
  --pulls N          have so many pulls left, in a window of 6 h
  --delay-in-front-of ADDRESS
                     be no registry, but such a line to the server at this address
";

#[derive(Default)]
struct Options {
    port: u16,
    tls: Option<PathBuf>,
    repositories: Option<u64>,
    tags: Option<u64>,
    catalogue: usize,
    bench: Option<Bench>,
    synthetic: Option<u64>,
    keep: Option<u64>,
    vendor: Vendor,
    round_trip: Duration,
    per_second: Option<u32>,
    burst: Option<u32>,
    pulls: Option<u64>,
    delay_in_front_of: Option<SocketAddr>,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut options = Self::default();
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("`{name}` has no value"))?;
            match name.as_str() {
                "--port" => options.port = value.parse()?,
                "--tls" => options.tls = Some(value.into()),
                "--repositories" => options.repositories = Some(value.parse()?),
                "--tags" => options.tags = Some(value.parse()?),
                "--catalogue" => options.catalogue = value.parse()?,
                "--bench-catalogue" => options.bench = Some(value.parse()?),
                "--synthetic" => options.synthetic = Some(value.parse()?),
                "--keep" => options.keep = Some(value.parse()?),
                "--vendor" => options.vendor = vendor(&value)?,
                "--round-trip" => options.round_trip = Duration::from_millis(value.parse()?),
                "--requests-per-second" => options.per_second = Some(value.parse()?),
                "--burst" => options.burst = Some(value.parse()?),
                "--pulls" => options.pulls = Some(value.parse()?),
                "--delay-in-front-of" => options.delay_in_front_of = Some(value.parse()?),
                _ => return Err(format!("unknown option `{name}`").into()),
            }
        }
        Ok(options)
    }
}

fn vendor(name: &str) -> Result<Vendor, String> {
    let found = Vendor::ALL.into_iter().find(|vendor| vendor.as_str() == name);
    found.ok_or_else(|| format!("unknown vendor `{name}`"))
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            let _ = write!(std::io::stderr(), "sandbox: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "sandbox: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let line = Line { latency: options.round_trip / 2, ..Line::default() };
    if let Some(target) = options.delay_in_front_of {
        let delay = Delay::in_front_of(target, line).await?;
        writeln!(std::io::stdout(), "tcp://{}", delay.host())?;
        signal(SignalKind::interrupt())?.recv().await;
        return Ok(());
    }
    let store = filled(&options);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let mut builder =
        Registry::builder().address(address).store(store).features(|features| features.vendor = options.vendor);
    if let Some(keep) = options.keep {
        builder = builder.keep_blob_bytes(keep);
    }
    if options.tls.is_some() {
        builder = builder.tls(Tls::SignedByAuthority);
    }
    let registry = builder.start().await?;
    let burst = options.burst.unwrap_or(5);
    registry.set_rate_limit(options.per_second.map(|per_second| RateLimit { per_second, burst, retry_after: None }));
    registry.set_pull_limit(options.pulls.map(|pulls| PullLimit { limit: pulls, remaining: pulls, window: 21_600 }));
    if let Some((folder, pem)) = options.tls.zip(registry.ca_pem()) {
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("ca.pem"), pem)?;
    }
    // Before the URL, which says that signals may come.
    let (mut end, mut count) = (signal(SignalKind::interrupt())?, signal(SignalKind::user_defined1())?);
    let (mut move_tags, mut generation) = (signal(SignalKind::user_defined2())?, 0);
    let delay = match line.latency.is_zero() {
        true => None,
        false => Some(Delay::in_front_of(registry.address(), line).await?),
    };
    let host = delay.as_ref().map_or_else(|| registry.host(), Delay::host);
    writeln!(std::io::stdout(), "{}", registry.url().replace(&registry.host(), &host))?;
    loop {
        tokio::select! {
            _ = end.recv() => return Ok(()),
            _ = count.recv() => {
                writeln!(std::io::stdout(), "{}", counts(registry.log()))?;
                registry.log().clear();
            }
            _ = move_tags.recv() => {
                generation = 1 - generation;
                let moved = options.bench.map_or(0, |bench| bench.move_on(registry.store(), generation));
                writeln!(std::io::stdout(), "{moved}")?;
            }
        }
    }
}

/// What is to be served.
fn filled(options: &Options) -> Store {
    let store = Store::new();
    let tags = options.tags.unwrap_or(20);
    if let Some(bench) = options.bench {
        bench.fill(&store);
    } else if options.catalogue > 0 {
        content::catalogue(&store, options.catalogue, tags);
    } else if options.repositories.or(options.tags).is_some() {
        content::fill(&store, options.repositories.unwrap_or(1), tags);
    }
    if let Some(size) = options.synthetic {
        let layer = store.put_synthetic_blob("library/large", 1, size);
        store.put_image("library/large", Some("1"), &content::image(1).layer_elsewhere(&layer).build());
    }
    store
}

/// `{"blob_bytes_in":0,"blob_bytes_out":71,"bytes_in":0,"bytes_out":80,"refused":0,"requests":{"GET blobs":1,"HEAD blobs":5}}`
fn counts(log: &Log) -> Value {
    let (mut requests, mut refused, mut bytes, mut blob_bytes) = (BTreeMap::new(), 0, [0; 2], [0; 2]);
    for request in log.requests() {
        let kind = kind(&request.path);
        *requests.entry(format!("{} {kind}", request.method)).or_insert(0) += 1;
        refused += u64::from(request.status == 429);
        let add = |[into, out]: [u64; 2]| [into + request.bytes_in, out + request.bytes_out];
        bytes = add(bytes);
        if kind.starts_with("blobs") {
            blob_bytes = add(blob_bytes);
        }
    }
    json!({
        "requests": requests, "refused": refused, "bytes_in": bytes[0], "bytes_out": bytes[1],
        "blob_bytes_in": blob_bytes[0], "blob_bytes_out": blob_bytes[1],
    })
}
