//! What the demo's source offers: repositories as one meets them, made from seeds.

use proto::Platform;
use sandbox::Store;
use sandbox::content::{self, Image, Layer};

const REPOSITORIES: [&str; 20] = [
    "library/alpine",
    "library/busybox",
    "library/debian",
    "library/golang",
    "library/haproxy",
    "library/httpd",
    "library/memcached",
    "library/mysql",
    "library/nginx",
    "library/node",
    "library/php",
    "library/postgres",
    "library/python",
    "library/rabbitmq",
    "library/redis",
    "library/ruby",
    "library/traefik",
    "grafana/grafana",
    "grafana/loki",
    "prometheus/prometheus",
];

const PLATFORMS: [&str; 3] = ["linux/amd64", "linux/arm64", "linux/arm/v7"];

/// Ten minors with two patches each; `latest` is another name of the newest.
const MINORS: u64 = 10;
const PATCHES: u64 = 2;

/// Fills the store; says in words what is there.
pub(super) fn fill(store: &Store) -> String {
    let mut tags = 0;
    for (number, repository) in (1u64..).zip(REPOSITORIES) {
        let bases = bases(number);
        for (minor, patch) in (0..MINORS).flat_map(|minor| (0..PATCHES).map(move |patch| (minor, patch))) {
            let seed = number * 1_000 + minor * 10 + patch;
            let image = image(&bases, seed);
            store.put_image(repository, Some(&format!("1.{minor}.{patch}")), &image);
            tags += 1;
            if (minor + 1, patch + 1) == (MINORS, PATCHES) {
                store.put_image(repository, Some("latest"), &image);
                tags += 1;
            }
            if seed.is_multiple_of(4) {
                let signature = content::cosign_signature(&image);
                store.put_image(repository, Some(&content::cosign_tag(&image.digest(), "sig")), &signature);
            }
        }
    }
    let repositories = REPOSITORIES.len();
    format!("{repositories} repositories and {tags} tags: multi-platform images, shared layers, signatures, SBOMs")
}

/// What upstream does over a day: one tag moves, one is new.
pub(super) fn change(store: &Store) {
    store.put_image("library/nginx", Some("1.9.1"), &image(&bases(9), 777_001));
    store.put_image("library/redis", Some("1.10.0"), &image(&bases(15), 777_002));
}

/// The lowest layers of a repository's images, which they share: one for each platform.
fn bases(repository: u64) -> Vec<(Platform, Layer)> {
    let platforms = PLATFORMS.iter().filter_map(|text| text.parse::<Platform>().ok());
    (repository * 100..).zip(platforms).map(|(seed, platform)| (platform, Layer::new(seed, 60_000))).collect()
}

/// An index of an image for each platform; every third has an SBOM.
fn image(bases: &[(Platform, Layer)], seed: u64) -> Image {
    let images = (seed * 10..).zip(bases).map(|(seed, (platform, base))| {
        content::image(seed).platform(platform).layer(base).layer(&Layer::new(1_000_000 + seed, 20_000)).build()
    });
    let index = content::index(&images.collect::<Vec<_>>());
    if seed.is_multiple_of(3) {
        let sbom = content::sbom(&index);
        return index.with_referrer(sbom);
    }
    index
}
