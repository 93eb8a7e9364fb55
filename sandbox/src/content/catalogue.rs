//! A source as one meets it: repositories of multi-platform images that share layers.

use proto::Platform;

use super::{Image, Layer, cosign_signature, cosign_tag, image, index, sbom};
use crate::store::Store;

/// The repositories of [`catalogue`].
pub const CATALOGUE: [&str; 20] = [
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
const PATCHES: u64 = 2;

/// Fills `store` with the first `repositories` of [`CATALOGUE`], of `tags` tags each, the same every time.
///
/// Tags are `1.0.0`, `1.0.1`, `1.1.0`, …, and on top of them `latest`, another name of the newest. Each is an index of
/// three images, and all images of a repository and platform share a layer. Every third has an SBOM, every fourth a
/// cosign signature beside it.
pub fn catalogue(store: &Store, repositories: usize, tags: u64) {
    for (number, repository) in (1u64..).zip(CATALOGUE).take(repositories) {
        let bases = bases(number);
        for tag in 0..tags {
            let (minor, patch) = (tag / PATCHES, tag % PATCHES);
            let seed = number * 1_000 + minor * 10 + patch;
            let image = upstream(&bases, seed);
            store.put_image(repository, Some(&format!("1.{minor}.{patch}")), &image);
            if tag + 1 == tags {
                store.put_image(repository, Some("latest"), &image);
            }
            if seed.is_multiple_of(4) {
                let signature = cosign_signature(&image);
                store.put_image(repository, Some(&cosign_tag(&image.digest(), "sig")), &signature);
            }
        }
    }
}

/// What upstream does to a [`catalogue`] of 20 tags over a day: one tag moves, one is new.
pub fn change_catalogue(store: &Store) {
    store.put_image("library/nginx", Some("1.9.1"), &upstream(&bases(9), 777_001));
    store.put_image("library/redis", Some("1.10.0"), &upstream(&bases(15), 777_002));
}

/// The lowest layers of a repository's images, which they share: one for each platform.
fn bases(repository: u64) -> Vec<(Platform, Layer)> {
    let platforms = PLATFORMS.iter().filter_map(|text| text.parse::<Platform>().ok());
    (repository * 100..).zip(platforms).map(|(seed, platform)| (platform, Layer::new(seed, 60_000))).collect()
}

/// An index of an image for each platform; every third has an SBOM.
fn upstream(bases: &[(Platform, Layer)], seed: u64) -> Image {
    let images = (seed * 10..).zip(bases).map(|(seed, (platform, base))| {
        image(seed).platform(platform).layer(base).layer(&Layer::new(1_000_000 + seed, 20_000)).build()
    });
    let index = index(&images.collect::<Vec<_>>());
    if seed.is_multiple_of(3) {
        let sbom = sbom(&index);
        return index.with_referrer(sbom);
    }
    index
}
