//! What a run makes of whatever can go wrong around it: one test for each kind of fault.

use std::fmt::Display;

use proto::Digest;
use sandbox::{Image, Layer, Registry, content};
use serde_json::Value;

use crate::support::{Ended, RUN, Workshop, failures, totals};

mod many;
mod network;
mod refusals;
mod secrets;
mod sources;
mod tags;
mod uploads;

/// A run of two images: `app`, which a fault is about, and `tool`, which must arrive whatever happens to the other.
///
/// The destination shows an older `app` before, which must stay there unless the new one arrives.
struct Row {
    source: Registry,
    destination: Registry,
    workshop: Workshop,
    app: Image,
    /// Templates of the destinations.
    to: Vec<String>,
    /// Entries of `images`.
    images: Vec<String>,
    /// Entries of `registries`.
    registries: Vec<String>,
    /// In place of that of [`RUN`].
    stall_timeout: &'static str,
}

/// The tag of each image.
const TAG: &str = "1.0";

impl Row {
    /// With open registries and small images.
    async fn new() -> Self {
        Self::with_layer(2_000).await
    }

    /// As [`new`](Self::new), but `app` has one layer, of so many bytes.
    async fn with_layer(bytes: usize) -> Self {
        let (source, destination) = (Registry::builder(), Registry::builder());
        let app = content::image(1).layer(&layer(bytes)).build();
        Self::between(source.start().await.unwrap(), destination.start().await.unwrap(), app)
    }

    /// With a destination like most: a blob comes after the request that opens its upload.
    fn with_uploads(self) -> Self {
        self.destination.features(|can| can.single_post = false);
        self
    }

    fn between(source: Registry, destination: Registry, app: Image) -> Self {
        source.store().put_image("app", Some(TAG), &app);
        source.store().put_image("tool", Some(TAG), &tool());
        destination.store().put_image("mirror/app", Some(TAG), &old_app());
        Self {
            workshop: Workshop::new(),
            app,
            to: vec![format!("{}/mirror/{{path}}", destination.host())],
            images: vec![entry(&source, "app", TAG), entry(&source, "tool", TAG)],
            registries: Vec::new(),
            stall_timeout: "--stall-timeout=1s",
            source,
            destination,
        }
    }

    /// Adds settings for a registry, or a part of it.
    fn setting(&mut self, pattern: impl Display, settings: impl Display) {
        self.registries.push(format!("  \"{pattern}\": {{ {settings} }}"));
    }

    /// The settings of user `robot` with this password.
    fn robot(&self, password: &str) -> String {
        let name = format!("password-{}", self.registries.len());
        self.workshop.write(&name, password);
        format!("auth: {{ username: robot, password: {{ file: {name} }} }}")
    }

    /// The settings for a registry that shows a certificate of its own authority.
    fn trust(&self, registry: &Registry) -> String {
        let name = format!("{}.pem", registry.address().port());
        self.workshop.write(&name, registry.ca_pem().unwrap());
        format!("tls: {{ ca_file: {name} }}")
    }

    fn job(&self) -> String {
        let Self { to, images, registries, .. } = self;
        let registries = match registries.join("\n") {
            lines if lines.is_empty() => lines,
            lines => format!("registries:\n{lines}\n"),
        };
        format!("version: 1\nto: [\"{}\"]\n{registries}images:\n{}\n", to.join("\", \""), images.join("\n"))
    }

    /// The digest of `app`'s layer.
    fn layer(&self) -> Digest {
        Digest::of(&self.app.blobs[1].1)
    }

    /// The path under which `app`'s layer is read.
    fn layer_path(&self) -> String {
        format!("/v2/app/blobs/{}", self.layer())
    }

    fn shown(&self) -> Option<Digest> {
        self.destination.store().tag("mirror/app", TAG)
    }

    /// Runs the job: both images arrive, in spite of the fault.
    async fn arrives(&self) -> Value {
        self.ends(0, "2 pushed", None).await
    }

    /// Runs the job: `app` fails with `code`, and its tag is left alone.
    async fn fails(&self, code: &str) -> Value {
        self.ends(1, "1 pushed, 1 failed", Some(code)).await
    }

    /// Runs the job: `app` is postponed with `code`, and its tag is left alone.
    async fn postpones(&self, code: &str) -> Value {
        self.ends(5, "1 pushed, 1 postponed", Some(code)).await
    }

    /// Runs the job, which must end with this code.
    async fn run(&self, exit: i32) -> Ended {
        self.workshop.job(&self.job());
        let patience = |arg: &'static str| if arg.starts_with("--stall-timeout") { self.stall_timeout } else { arg };
        self.workshop.program(&RUN.map(patience)).await.expect(exit)
    }

    /// Runs the job, and checks what must be true of each end. If `app` ends with a code, the summary says so too.
    async fn ends(&self, exit: i32, expected: &str, code: Option<&str>) -> Value {
        let before = self.shown();
        let ended = self.run(exit).await;
        let report = self.workshop.report().await;
        assert_eq!(totals(&report), expected, "{report:#}");
        let codes: Vec<_> =
            failures(&report).iter().filter_map(|line| Some(line.split_once("/app:1.0 → ")?.1.to_owned())).collect();
        assert_eq!(codes, Vec::from_iter(code), "{report:#}");
        match code {
            None => self.assert_whole("app", &self.app),
            Some(code) => {
                assert_eq!(self.shown(), before);
                let outcome = expected.rsplit(' ').next().unwrap();
                let line = ended.stdout.lines().find(|line| line.contains(&format!("1 × {code}"))).unwrap_or_default();
                assert!(line.starts_with(outcome) && line.ends_with("/app:1.0"), "{}", ended.stdout);
            }
        }
        self.assert_whole("tool", &tool());
        assert_eq!(self.destination.open_uploads(), 0, "uploads were left open");
        report
    }

    /// The destination shows `image`, and has all that belongs to it.
    fn assert_whole(&self, name: &str, image: &Image) {
        let (store, repository) = (self.destination.store(), format!("mirror/{name}"));
        assert_eq!(store.tag(&repository, TAG), Some(image.digest()), "{name}");
        assert_eq!(store.manifest(&repository, &image.digest()).unwrap().raw, image.raw);
        for blob in image.blob_digests() {
            assert_eq!(store.blob(&repository, &blob).map(|bytes| Digest::of(&bytes)), Some(blob), "{name}");
        }
    }
}

/// Not a tar, which takes its time for large ones, but bytes that are not the same everywhere.
fn layer(size: usize) -> Layer {
    let mut bytes = vec![0; size];
    for (number, block) in bytes.chunks_mut(1_000).enumerate() {
        block.fill(number as u8);
    }
    Layer { diff_id: Digest::of(&bytes), bytes: bytes.into() }
}

fn tool() -> Image {
    content::image(20).build()
}

fn old_app() -> Image {
    content::image(30).build()
}

/// A line of `images`.
fn entry(registry: &Registry, repository: &str, rules: &str) -> String {
    format!("  \"{}/{repository}\": \"{rules}\"", registry.host())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_fault_both_images_arrive() {
    Row::new().await.arrives().await;
}
