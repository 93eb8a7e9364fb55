//! A job between two registries, and what must be true of it whatever happened on the way.

use std::collections::BTreeMap;

use sandbox::{Image, Registry, Store, content};
use serde_json::Value;

use crate::support::Workshop;

/// Two registries, the first with some images, and a folder with a job that mirrors them to the second.
pub(crate) struct Mirror {
    pub(crate) source: Registry,
    pub(crate) destination: Registry,
    pub(crate) workshop: Workshop,
}

impl Mirror {
    /// With five images in one repository, the last of them signed.
    pub(crate) async fn new() -> Self {
        let source = Registry::builder().start().await.unwrap();
        for seed in 1..=4 {
            let image = content::multi_platform(seed, &["linux/amd64", "linux/arm64"]);
            source.store().put_image("team/app", Some(&format!("1.{seed}")), &image);
        }
        put_signed(&source, "team/app", "1.5", &content::image(10).oddly_formatted().build());
        Self::of(source, &["team/app"]).await.with_uploads()
    }

    /// With one image, signed and of two platforms, in two repositories: a run has every effect that there is.
    pub(crate) async fn with_all_effects() -> Self {
        let source = Registry::builder().start().await.unwrap();
        for repository in ["team/app", "team/base"] {
            put_signed(&source, repository, "1.1", &content::multi_platform(1, &["linux/amd64", "linux/arm64"]));
        }
        Self::of(source, &["team/app", "team/base"]).await
    }

    /// With `source` as it is, and a job for these repositories.
    pub(crate) async fn of(source: Registry, repositories: &[&str]) -> Self {
        let destination = Registry::builder().start().await.unwrap();
        let workshop = Workshop::new();
        let lines = repositories.iter().map(|repository| format!("  {}/{repository}: \"*\"\n", source.host()));
        let lines: String = lines.collect();
        workshop.job(&format!("version: 1\nto: {}/mirror/{{path}}\nimages:\n{lines}", destination.host()));
        Self { source, destination, workshop }
    }

    /// With a destination like most: a blob comes after the request that opens its upload.
    pub(crate) fn with_uploads(self) -> Self {
        self.destination.features(|can| can.single_post = false);
        self
    }

    /// Runs again, and nothing is left of the trouble before: all tags are right, nothing was done twice, the run
    /// before has ended as interrupted and has its report.
    pub(crate) async fn run_again_and_find_all_in_order(&self) {
        self.workshop.run().await.expect(0);
        self.expect_all_tags();
        self.expect_nothing_sent_twice();
        let report = self.report_of_the_run_before().await;
        assert_eq!(report["run"]["end"], "interrupted", "{report}");
    }

    /// Every tag shows at the destination what it shows at the source, and everything below it is there byte for byte.
    pub(crate) fn expect_all_tags(&self) {
        for ((repository, tag), digest) in self.source.store().tags() {
            let copied = self.destination.store().tag(&format!("mirror/{repository}"), &tag);
            assert_eq!(copied, Some(digest), "{repository}:{tag}");
        }
        for repository in self.source.store().repositories() {
            let (from, to) = (self.source.store(), self.destination.store());
            assert_eq!(bytes(from, &repository), bytes(to, &format!("mirror/{repository}")), "{repository}");
        }
    }

    /// No repository accepted a blob, or a manifest under a tag, twice, nor a manifest by its digest twice in one run:
    /// the run that makes up for another one puts manifests to be told what of them is there.
    pub(crate) fn expect_nothing_sent_twice(&self) {
        let mut accepted: BTreeMap<String, u32> = BTreeMap::new();
        let mut run = 0;
        for request in self.destination.requests() {
            // The first request of each run.
            run += u32::from(request.path == "/v2/");
            if request.status != 201 {
                continue;
            }
            let digest =
                request.query.split('&').find(|pair| pair.starts_with("digest=") || pair.starts_with("mount="));
            let what = match (digest, request.path.split_once("/blobs/uploads/")) {
                (Some(digest), Some((repository, _))) => {
                    format!("{repository} {}", digest.rsplit('=').next().unwrap().replace("%3A", ":"))
                }
                _ if request.path.contains("/manifests/sha256:") => format!("{} in run {run}", request.path),
                _ => request.path,
            };
            *accepted.entry(what).or_default() += 1;
        }
        assert!(run > 0 && !accepted.is_empty());
        accepted.retain(|_, times| *times > 1);
        assert_eq!(accepted, BTreeMap::new());
    }

    pub(crate) async fn report_of_the_run_before(&self) -> Value {
        self.reports().await.into_iter().nth(1).expect("there is but one run")
    }

    /// The reports of all runs, newest first.
    pub(crate) async fn reports(&self) -> Vec<Value> {
        let mut reports = Vec::new();
        for run in self.workshop.program(&["runs"]).await.expect(0).stdout.lines() {
            let id = run.split_whitespace().next().unwrap();
            let report = self.workshop.program(&["report", "--json", id]).await.expect(0).stdout;
            reports.push(serde_json::from_str(&report).unwrap());
        }
        reports
    }
}

/// Puts an image with an SBOM that refers to it and a signature in cosign's form.
fn put_signed(registry: &Registry, repository: &str, tag: &str, image: &Image) {
    let signed = image.clone().with_referrer(content::sbom(image));
    registry.store().put_image(repository, Some(tag), &signed);
    let signature = content::cosign_signature(&signed);
    registry.store().put_image(repository, Some(&content::cosign_tag(&signed.digest(), "sig")), &signature);
}

/// The manifests of a repository and the blobs that they name.
fn bytes(store: &Store, repository: &str) -> BTreeMap<String, Vec<u8>> {
    let mut bytes = BTreeMap::new();
    for (digest, stored) in store.manifests(repository) {
        let json: Value = serde_json::from_slice(&stored.raw).unwrap();
        let blobs = json["layers"].as_array().into_iter().flatten().chain(json.get("config"));
        for blob in blobs {
            let digest = blob["digest"].as_str().unwrap();
            let content = store.blob(repository, &digest.parse().unwrap());
            bytes.insert(digest.to_owned(), content.unwrap_or_else(|| panic!("{repository} lacks {digest}")).to_vec());
        }
        bytes.insert(digest.to_string(), stored.raw.to_vec());
    }
    bytes
}
